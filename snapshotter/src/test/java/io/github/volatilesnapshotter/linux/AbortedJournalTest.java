package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Which calls notice that an ext4 has aborted its journal, and that a filesystem was shut down. What {@code superblock.WriteAttempt} and
 * {@code snapshot.CommittedMark} do stands on this.
 */
@Tag("kernel")
class AbortedJournalTest {
    /** An ext4 with a file that has been on disk for long. */
    private static FuseDisk disk(Disk.FileSystem fileSystem) throws IOException {
        FuseDisk disk = FuseDisk.create(fileSystem);
        Files.createFile(clean(disk));
        disk.syncfs();
        return disk;
    }

    private static Path clean(Disk disk) {
        return disk.root().resolve("clean");
    }

    /** Why {@code CommittedMark} gives the mark its name after the syncfs: a Commit that only asked syncfs twice would be told that all is well. */
    @Test
    void after_an_abort_syncfs_fails_once_and_then_succeeds_and_a_name_is_refused_for_good() throws IOException {
        try (FuseDisk disk = disk(Disk.FileSystem.EXT4);
                Fd root = Fd.openDirectory(disk.root())) {
            Damage.loseMetadata(disk);

            assertErrno(Errno.EIO, () -> Sync.syncfs(root));
            Sync.syncfs(root);
            Sync.syncfs(root);

            Path named = disk.root().resolve("named");
            assertErrno(Errno.EROFS, () -> Entries.rename(clean(disk), named));
            assertErrno(Errno.EROFS, () -> Fd.create(named, 0600).close());
            disk.heal();
            assertErrno(Errno.EROFS, () -> Entries.rename(clean(disk), named));
        }
    }

    /** So a second syncfs is not always wrong: it is until the first change was refused. */
    @Test
    void once_a_change_was_refused_syncfs_fails_too() throws IOException {
        try (FuseDisk disk = disk(Disk.FileSystem.EXT4);
                Fd root = Fd.openDirectory(disk.root())) {
            Damage.loseMetadata(disk);
            assertErrno(Errno.EROFS, () -> Entries.mkdir(disk.root().resolve("directory"), 0700));

            assertErrno(Errno.EROFS, () -> Sync.syncfs(root));
            assertErrno(Errno.EROFS, () -> Sync.syncfs(root));
        }
    }

    enum Change {
        ATTRIBUTE {
            @Override
            void make(Disk disk, Fd clean) throws SyscallException {
                Xattr.set(clean, "trusted.fact", new byte[] {1});
            }
        },
        DIRECTORY {
            @Override
            void make(Disk disk, Fd clean) throws SyscallException {
                Entries.mkdir(disk.root().resolve("directory"), 0700);
            }
        },
        CONTENT {
            @Override
            void make(Disk disk, Fd clean) throws SyscallException {
                clean.write(new byte[] {1});
            }
        },
        MODE {
            @Override
            void make(Disk disk, Fd clean) throws SyscallException {
                Entries.chmod(clean(disk), 0640);
            }
        },
        TIMES {
            @Override
            void make(Disk disk, Fd clean) throws SyscallException {
                RawCalls.touch(clean);
            }
        };

        abstract void make(Disk disk, Fd clean) throws SyscallException;
    }

    /** Why the write probe sets an attribute. */
    @ParameterizedTest
    @EnumSource(names = {"ATTRIBUTE", "DIRECTORY", "CONTENT"})
    void after_an_abort_the_first_change_is_refused(Change change) throws IOException {
        try (FuseDisk disk = disk(Disk.FileSystem.EXT4);
                Fd clean = Fd.openReadWrite(clean(disk))) {
            Damage.loseMetadata(disk);

            assertErrno(Errno.EROFS, () -> change.make(disk, clean));
        }
    }

    /** Why the write probe changes neither mode nor times: who changes these is not told that the inode could not be marked dirty. */
    @ParameterizedTest
    @EnumSource(names = {"MODE", "TIMES"})
    void after_an_abort_the_first_change_of_mode_or_times_succeeds_and_the_second_is_refused(Change change)
            throws IOException {
        try (FuseDisk disk = disk(Disk.FileSystem.EXT4);
                Fd clean = Fd.openReadWrite(clean(disk))) {
            Damage.loseMetadata(disk);

            change.make(disk, clean);

            assertErrno(Errno.EROFS, () -> change.make(disk, clean));
        }
    }

    /** Why the write probe is no fsync, and why statfs can't be asked either. */
    @Test
    void after_an_abort_what_changes_nothing_succeeds() throws IOException {
        try (FuseDisk disk = disk(Disk.FileSystem.EXT4);
                Fd clean = Fd.openReadWrite(clean(disk))) {
            Damage.loseMetadata(disk);

            Sync.fsync(clean);
            Sync.fsync(clean);
            Fd.openReadWrite(clean(disk)).close();
            assertThat(Stat.of(clean).isRegularFile()).isTrue();
            assertThat(FileSystemStat.of(disk.root()).readOnly()).isFalse();
            assertThat(MountInfo.superOptionsOf(clean)).doesNotContain("emergency_ro");
            assertThatCode(() -> Files.readAllBytes(clean(disk))).doesNotThrowAnyException();
        }
    }

    /** Unlike an abort: every call is refused, the fsync of a clean file too, and again and again. */
    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "EXT4_WITHOUT_JOURNAL", "XFS"})
    void after_a_shutdown_every_call_is_refused_at_once(Disk.FileSystem fileSystem) throws IOException {
        try (FuseDisk disk = disk(fileSystem);
                Fd clean = Fd.openReadWrite(clean(disk))) {
            Damage.shutDown(disk);

            for (int time = 0; time < 2; time++) {
                assertErrno(Errno.EIO, () -> Sync.syncfs(clean));
                assertErrno(Errno.EIO, () -> Sync.fsync(clean));
                assertErrno(Errno.EIO, () -> Fd.openReadWrite(clean(disk)).close());
                for (Change change : Change.values()) {
                    assertErrno(Errno.EIO, () -> change.make(disk, clean));
                }
            }
        }
    }
}
