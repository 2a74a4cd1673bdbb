package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Trouble that is no writeback error, and leaves the sample of a volatile overlay as it is: such trouble poisons nothing
 * ({@code superblock.ErrorEpochs}). Lost data, which does not, is in {@link WritebackErrorTest}.
 */
@Tag("kernel")
class CleanSampleTest {
    private static final int FILE_BYTES = 1 << 20;
    private static final int BLOCK_BYTES = 4096;

    /** Enough for blocks of the directory's own. */
    private static final int ENTRIES = 1_000;

    private static final long FIRST_FILLER_BYTES = 256L << 20;
    private static final long LAST_FILLER_BYTES = 4L << 20;
    private static final long ROOM_BYTES = 8L << 20;

    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    /** Why {@code superblock.WriteAttempt} takes a higher count of ext4 only for a hint. */
    @ParameterizedTest
    @EnumSource(names = {"EXT4", "EXT4_WITHOUT_JOURNAL"})
    void an_error_that_ext4_finds_in_itself_and_goes_on_with(FileSystem fileSystem) throws IOException {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                Fd sample = OverlayOnDisk.sampleOf(disk)) {
            Command.run("mount", "-o", "remount,errors=continue", disk.root().toString());
            String name = disk.device().getFileName().toString();
            Files.writeString(Path.of("/sys/fs/ext4", name, "trigger_fs_error"), "an error for a test");

            // The count that is told is the superblock's, which a worker of the kernel writes.
            await().untilAsserted(() ->
                    assertThat(Ext4Errors.count(Device.parse(disk.number()))).hasValue(1));
            assertWritesGoOn(disk);
            assertThat(Sync.fsyncError(sample)).isEmpty();
        }
    }

    /** ext4 counts it among its errors; all four go on once the disk reads again, btrfs too. */
    @ParameterizedTest
    @EnumSource
    void metadata_that_can_not_be_read(FileSystem fileSystem) throws IOException {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                Fd sample = OverlayOnDisk.sampleOf(disk)) {
            Path directory = Files.createDirectory(disk.root().resolve("directory"));
            for (int entry = 0; entry < ENTRIES; entry++) {
                Files.createFile(directory.resolve("an entry with a name of some length " + entry));
            }
            disk.syncfs();
            disk.failReads(Blocks.METADATA);

            await().untilAsserted(() -> {
                // xfs lets go of a buffer that was used only after several times.
                disk.dropCaches();
                assertErrno(Errno.EIO, () -> DirectoryTree.names(directory));
            });

            assertThat(Sync.fsyncError(sample)).isEmpty();
            disk.heal();
            assertThat(DirectoryTree.names(directory)).hasSize(ENTRIES);
            assertWritesGoOn(disk);
            assertThat(Sync.fsyncError(sample)).isEmpty();
        }
    }

    /** On btrfs it is one: it copies what it has checksums of, and the copy is written as any other page. */
    @ParameterizedTest
    @EnumSource
    void a_direct_write_that_fails_unless_btrfs_copies_it(FileSystem fileSystem) throws IOException {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                Fd sample = OverlayOnDisk.sampleOf(disk);
                Fd before = Fd.openDirectory(disk.root())) {
            Path file = disk.root().resolve("file");
            Disk.writeDirty(file, FILE_BYTES);
            Disk.fsync(file);
            disk.fail(Blocks.DATA);
            byte[] block = Arrays.copyOf(Disk.dataMarker(), BLOCK_BYTES);

            assertErrno(Errno.EIO, () -> RawCalls.writeDirectly(file, block));

            if (fileSystem == FileSystem.BTRFS) {
                assertThat(Sync.fsyncError(sample)).contains(Errno.EIO);
                assertErrno(Errno.EIO, () -> Sync.syncfs(before));
            } else {
                assertThat(Sync.fsyncError(sample)).isEmpty();
                Sync.syncfs(before);
                Disk.fsync(file);
            }
        }
    }

    /** The kernel finds room for a page when it is dirtied, so who writes is told. A full pool of a thin disk is another thing: FaultyDisk. */
    @ParameterizedTest
    @EnumSource
    void a_filesystem_that_is_full(FileSystem fileSystem) throws IOException {
        try (FuseDisk disk = FuseDisk.create(fileSystem)) {
            OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(disk.root(), "overlay");
            try (Fd sample = Fd.openDirectory(overlay.merged());
                    Fd before = Fd.openDirectory(disk.root());
                    Fd file = Fd.create(overlay.merged().resolve("file"), 0600)) {
                leaveLittleRoom(disk);

                byte[] content = new byte[FILE_BYTES];
                Arrays.fill(content, (byte) 1);
                assertErrno(Errno.ENOSPC, () -> {
                    while (true) {
                        file.write(content);
                    }
                });

                assertThat(Stat.of(file).sizeBytes()).isPositive();
                Disk.fsync(overlay.upper().resolve("file"));
                Sync.syncfs(before);
                assertThat(Sync.fsyncError(sample)).isEmpty();
            }
        }
    }

    /** It lets its errors be listened to, and reports none. */
    @Test
    void a_filesystem_in_memory_that_is_full() throws IOException {
        MountedTempDirectory.mountTmpfs(temp.path(), 0);
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(temp.path(), "overlay");
        try (Fd sample = Fd.openDirectory(overlay.merged());
                FileSystemErrors reports = FileSystemErrors.of(temp.path()).orElseThrow();
                Fd file = Fd.create(overlay.merged().resolve("file"), 0600)) {
            byte[] content = new byte[FILE_BYTES];
            assertErrno(Errno.ENOSPC, () -> {
                file.write(content);
                file.write(content);
            });

            assertThat(Stat.of(file).sizeBytes()).isPositive();
            assertThat(Sync.fsyncError(sample)).isEmpty();
            assertThat(reports.read()).isEmpty();
        }
    }

    /** The overlay goes on to say that it is writable. */
    @ParameterizedTest
    @EnumSource
    void a_filesystem_that_an_operator_has_remounted_read_only(FileSystem fileSystem) throws IOException {
        try (FuseDisk disk = FuseDisk.create(fileSystem)) {
            OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(disk.root(), "overlay");
            try (Fd sample = Fd.openDirectory(overlay.merged())) {
                Command.run("mount", "-o", "remount,ro", disk.root().toString());

                assertErrno(Errno.EROFS, () -> Entries.mkdir(overlay.merged().resolve("new"), 0700));

                assertThat(FileSystemStat.of(disk.root()).readOnly()).isTrue();
                assertThat(MountInfo.superOptionsOf(sample)).contains("rw");
                assertThat(Sync.fsyncError(sample)).isEmpty();
            }
        }
    }

    /** Allocates nearly all of it, which takes no memory: nothing is written. */
    private static void leaveLittleRoom(Disk disk) throws IOException {
        Path room = disk.root().resolve("room");
        allocate(room, ROOM_BYTES);
        int fillers = 0;
        for (long bytes = FIRST_FILLER_BYTES; bytes >= LAST_FILLER_BYTES; bytes /= 2) {
            try {
                while (true) {
                    allocate(disk.root().resolve("filler" + fillers++), bytes);
                }
            } catch (IOException e) {
                assertThat(e).hasMessageContaining("No space left on device");
            }
        }
        Files.delete(room);
        disk.syncfs();
    }

    private static void allocate(Path file, long bytes) throws IOException {
        Command.run("fallocate", "--length", Long.toString(bytes), file.toString());
    }

    private static void assertWritesGoOn(Disk disk) throws IOException {
        Path more = disk.root().resolve("more");
        Disk.writeDirty(more, FILE_BYTES);
        Disk.fsync(more);
        assertThatCode(disk::syncfs).doesNotThrowAnyException();
    }
}
