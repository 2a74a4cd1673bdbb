package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Ext4Errors;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.OpenFileLimit;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.function.Supplier;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a write probe is answered by real filesystems in trouble: what proves that one is gone, and what does not. */
@Tag("kernel")
class WriteAttemptTest {
    /** The attempts of one probe. */
    private record Attempts(WriteAttempt attempt, FreeSpace free) implements AutoCloseable {
        static Attempts on(Disk disk) {
            Device device = Device.parse(disk.number());
            return in(disk.root(), device, () -> Ext4Errors.count(device));
        }

        static Attempts in(Path directory, Device device, Supplier<OptionalLong> errors) {
            FreeSpace free = new FreeSpace(device, directory);
            return new Attempts(new WriteAttempt(directory, errors, free), free);
        }

        /** The first has succeeded, and the file is open. */
        static Attempts begunOn(Disk disk) throws IOException {
            Attempts attempts = on(disk);
            assertThat(attempts.answer()).isEqualTo(new ProbeAnswer.Takes());
            disk.syncfs();
            return attempts;
        }

        ProbeAnswer answer() {
            return attempt.run();
        }

        @Override
        public void close() {
            attempt.end();
        }
    }

    private static void loseMetadata(FuseDisk disk) throws IOException {
        disk.fail(Blocks.METADATA);
        Path file = disk.root().resolve("lost");
        assertThatThrownBy(() -> {
                    Files.createFile(file);
                    Disk.fsync(file);
                })
                .isInstanceOf(IOException.class);
    }

    private static void assertGone(ProbeAnswer answer, String reason, Errno errno) {
        assertThat(answer).isEqualTo(new ProbeAnswer.Refused(new Failure(reason, errno, true)));
    }

    private static void assertRefused(ProbeAnswer answer, String reason, Errno errno) {
        assertThat(answer).isEqualTo(new ProbeAnswer.Refused(new Failure(reason, errno, false)));
    }

    @Test
    void an_ext4_whose_journal_is_aborted_is_gone() throws Exception {
        try (FuseDisk disk = FuseDisk.create(Disk.FileSystem.EXT4);
                Attempts attempts = Attempts.begunOn(disk)) {
            loseMetadata(disk);

            // Before, it looks like any filesystem that is read-only.
            String reason = KernelRelease.current().atLeast(6, 15)
                    ? "the filesystem has turned itself read-only (emergency_ro) (EROFS)"
                    : "the filesystem has turned itself read-only (EROFS)";
            assertGone(attempts.answer(), reason, Errno.EROFS);
            disk.heal();
            assertGone(attempts.answer(), reason, Errno.EROFS);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "EXT4_WITHOUT_JOURNAL", "XFS"})
    void a_filesystem_that_was_shut_down_is_gone(Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                Attempts attempts = Attempts.begunOn(disk)) {
            Command.run("xfs_io", "-x", "-c", "shutdown", disk.root().toString());

            assertGone(attempts.answer(), "the filesystem is shut down (EIO)", Errno.EIO);
        }
    }

    @Test
    void a_btrfs_whose_transaction_is_aborted_is_gone() throws Exception {
        try (FuseDisk disk = FuseDisk.create(Disk.FileSystem.BTRFS);
                Attempts attempts = Attempts.begunOn(disk)) {
            loseMetadata(disk);

            assertGone(attempts.answer(), "the filesystem has turned itself read-only (EROFS)", Errno.EROFS);
        }
    }

    /** Which writes everything back before, so nothing is lost. It is refused while the probe has its file open. */
    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void one_that_an_operator_has_remounted_read_only_refuses_and_is_not_gone(Disk.FileSystem fileSystem)
            throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                Attempts attempts = Attempts.on(disk)) {
            try (Attempts _ = Attempts.begunOn(disk)) {
                assertThatThrownBy(() -> remount(disk, "ro")).hasMessageContaining("busy");
            }
            remount(disk, "ro");

            assertRefused(attempts.answer(), "the filesystem is read-only (EROFS)", Errno.EROFS);
            remount(disk, "rw");
            assertThat(attempts.answer()).isEqualTo(new ProbeAnswer.Takes());
        }
    }

    private static void remount(Disk disk, String access) throws IOException {
        Command.run("mount", "-o", "remount," + access, disk.root().toString());
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_full_filesystem_takes_changes(Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                Attempts attempts = Attempts.begunOn(disk)) {
            assertThat(attempts.free().isFull()).isFalse();
            disk.fill();

            assertThat(attempts.answer()).isEqualTo(new ProbeAnswer.Takes());
            assertThat(attempts.free().isFull()).isTrue();
            try (Attempts others = Attempts.on(disk)) {
                assertThat(others.answer()).isEqualTo(new ProbeAnswer.Takes());
            }
        }
    }

    @Test
    void one_that_has_no_room_for_the_probes_file_takes_changes(@TempDir Path directory) throws Exception {
        Command.run("mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", directory.toString());
        try (Attempts attempts = Attempts.in(directory, Device.parse("0:99"), OptionalLong::empty)) {
            assertThat(attempts.answer()).isEqualTo(new ProbeAnswer.Takes());
            assertThat(attempts.free().isFull()).isTrue();
            assertThat(directory).isEmptyDirectory();
        } finally {
            Command.run("umount", directory.toString());
        }
    }

    @Test
    void without_a_descriptor_for_the_probes_file_nothing_is_said_of_the_filesystem() throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(Disk.FileSystem.EXT4);
                Attempts attempts = Attempts.on(disk)) {
            ProbeAnswer answer = withoutDescriptors(attempts);

            assertThat(answer)
                    .isInstanceOfSatisfying(
                            ProbeAnswer.Unasked.class,
                            unasked -> assertThat(unasked.why()).contains("EMFILE"));
            assertThat(attempts.answer()).isEqualTo(new ProbeAnswer.Takes());
        }
    }

    private static ProbeAnswer withoutDescriptors(Attempts attempts) throws IOException {
        int limit = OpenFileLimit.current();
        // Opening as many as there may be would take long.
        limitOpenFiles(1_000);
        List<Fd> taken = new ArrayList<>();
        try {
            assertThatThrownBy(() -> {
                        while (true) {
                            taken.add(Fd.openReadOnly(Path.of("/dev/null")));
                        }
                    })
                    .isInstanceOfSatisfying(
                            SyscallException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EMFILE));
            return attempts.answer();
        } finally {
            taken.forEach(Fd::close);
            limitOpenFiles(limit);
        }
    }

    /** The soft limit, of this process. */
    private static void limitOpenFiles(int limit) throws IOException {
        String pid = Long.toString(ProcessHandle.current().pid());
        Command.run("prlimit", "--pid", pid, "--nofile=" + limit + ":");
    }

    /** Nothing is lost by it. ext4 goes on by default ({@code errors=continue}). */
    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "EXT4_WITHOUT_JOURNAL", "BTRFS"})
    void one_that_cannot_read_a_block_of_metadata_refuses_and_is_not_gone(Disk.FileSystem fileSystem) throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                Attempts attempts = Attempts.begunOn(disk)) {
            // btrfs keeps the root of a tree in memory, and a small tree has nothing else.
            for (int number = 0; number < 2_000; number++) {
                Files.createFile(disk.root().resolve("file-" + number));
            }
            disk.startFailingReadsOfMetadata();

            assertRefused(attempts.answer(), "the write probe is refused (EIO)", Errno.EIO);
            disk.heal();
            assertThat(attempts.answer()).isEqualTo(new ProbeAnswer.Takes());
        }
    }

    /** It can't go back on what it has begun to change. */
    @Test
    void an_xfs_that_cannot_read_a_block_of_metadata_shuts_down_and_is_gone() throws Exception {
        try (FuseDisk disk = FuseDisk.create(Disk.FileSystem.XFS);
                Attempts attempts = Attempts.begunOn(disk)) {
            disk.startFailingReadsOfMetadata();

            assertGone(attempts.answer(), "the filesystem is shut down (EIO)", Errno.EIO);
            disk.heal();
            assertGone(attempts.answer(), "the filesystem is shut down (EIO)", Errno.EIO);
        }
    }
}
