package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FuseDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.OptionalLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What a filesystem says of itself when something is lost: by FAN_FS_ERROR ({@link FileSystemErrors}), by ext4's count of errors
 * ({@link Ext4Errors}) and among its options ({@link StatMount}). It is why these wake the watch ({@code superblock.ErrorSignals}) and
 * explain a failure ({@code superblock.WriteAttempt}), and none of them is believed to tell of lost data. The kernel's sample, in a
 * volatile overlay, is asked beside them.
 *
 * <p>Linux 7.0 makes xfs report more by FAN_FS_ERROR: then this fails, and is to be written anew.
 */
@Tag("kernel")
class FileSystemSignalsTest {
    private FuseDisk disk;
    private FileSystemErrors reports;
    private Fd root;
    private Fd sample;

    /** All that listens stands before anything is lost. */
    private void listenTo(FileSystem fileSystem) throws IOException {
        disk = FuseDisk.create(fileSystem);
        reports = FileSystemErrors.of(disk.root()).orElseThrow();
        root = Fd.openDirectory(disk.root());
        sample = OverlayOnDisk.sampleOf(disk);
    }

    @AfterEach
    void close() throws IOException {
        // From the last to the first: what keeps the disk busy goes before it.
        try (FuseDisk _ = disk;
                FileSystemErrors _ = reports;
                Fd _ = root;
                Fd _ = sample) {
            assertThat(disk).isNotNull();
        }
    }

    @ParameterizedTest
    @EnumSource
    void no_filesystem_says_anything_of_lost_data(FileSystem fileSystem) throws IOException {
        listenTo(fileSystem);
        List<String> optionsBefore = MountInfo.superOptionsOf(root);

        Damage.loseData(disk);
        assertErrno(Errno.EIO, () -> Sync.syncfs(root));

        assertThat(Sync.fsyncError(sample)).contains(Errno.EIO);
        assertThat(reports.read()).isEmpty();
        assertThat(ext4Errors()).isEqualTo(isExt4(fileSystem) ? OptionalLong.of(0) : OptionalLong.empty());
        assertThat(MountInfo.superOptionsOf(root)).isEqualTo(optionsBefore);
    }

    @Test
    void an_aborted_journal_is_reported_counted_and_among_the_options_once_a_change_was_refused() throws IOException {
        listenTo(FileSystem.EXT4);
        Damage.loseMetadata(disk);
        assertThat(reports.read()).as("not noticed yet").isEmpty();
        assertThat(ext4Errors()).hasValue(0);
        assertThat(options()).doesNotContain("emergency_ro");

        assertErrno(Errno.EROFS, () -> Entries.mkdir(disk.root().resolve("refused"), 0700));

        assertThat(reports.read()).containsExactly(new FileSystemErrors.Event(Errno.EIO, 1));
        assertThat(ext4Errors()).hasValue(1);
        assertThat(options()).contains("rw", "emergency_ro");
        assertThat(FileSystemStat.of(disk.root()).readOnly())
                .as("statfs knows nothing")
                .isFalse();
        assertThat(Sync.fsyncError(sample)).as("nor does the sample").isEmpty();
    }

    @Test
    void lost_metadata_of_ext4_without_journal_are_reported_and_counted_and_in_the_sample() throws IOException {
        listenTo(FileSystem.EXT4_WITHOUT_JOURNAL);
        Damage.loseMetadata(disk);
        Files.createFile(disk.root().resolve("taken"));
        assertErrno(Errno.EIO, () -> Sync.syncfs(root));

        assertThat(reports.read())
                .isNotEmpty()
                .allSatisfy(report -> assertThat(report.errno()).isEqualTo(Errno.EIO));
        assertThat(ext4Errors().orElseThrow()).isPositive();
        assertThat(options()).contains("rw").doesNotContain("emergency_ro");
        assertThat(Sync.fsyncError(sample)).contains(Errno.EIO);
    }

    @ParameterizedTest
    @EnumSource(names = {"XFS", "BTRFS"})
    void xfs_and_btrfs_report_nothing_when_lost_metadata_end_them(FileSystem fileSystem) throws IOException {
        listenTo(fileSystem);
        Damage.loseMetadata(disk);
        assertThatThrownBy(() -> Files.createFile(disk.root().resolve("refused")))
                .isInstanceOf(IOException.class);

        assertThat(reports.read()).isEmpty();
        if (fileSystem == FileSystem.XFS) {
            // Not even whose options are to be asked for can be asked on it.
            assertErrno(Errno.EIO, () -> MountInfo.superOptionsOf(root));
            assertThat(optionsInMountInfo()).contains("rw").doesNotContain("shutdown", "emergency_ro");
            assertThat(Sync.fsyncError(sample)).isEmpty();
        } else {
            assertThat(options()).contains("ro");
            assertThat(Sync.fsyncError(sample)).contains(Errno.EIO);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"EXT4", "EXT4_WITHOUT_JOURNAL"})
    void a_shutdown_of_ext4_is_among_the_options_and_nowhere_else(FileSystem fileSystem) throws IOException {
        listenTo(fileSystem);
        disk.syncfs();
        Damage.shutDown(disk);

        assertThat(options()).contains("rw", "shutdown");
        assertThat(reports.read()).isEmpty();
        assertThat(ext4Errors()).hasValue(0);
        assertThat(Sync.fsyncError(sample)).isEmpty();
    }

    @Test
    void a_shutdown_of_xfs_is_not_even_among_the_options() throws IOException {
        listenTo(FileSystem.XFS);
        disk.syncfs();
        Damage.shutDown(disk);

        assertErrno(Errno.EIO, () -> MountInfo.superOptionsOf(root));
        assertThat(optionsInMountInfo()).contains("rw").doesNotContain("shutdown");
        assertThat(reports.read()).isEmpty();
        assertThat(Sync.fsyncError(sample)).isEmpty();
    }

    /** Two ways to ask, and one answer. */
    private List<String> options() throws IOException {
        List<String> options = MountInfo.superOptionsOf(root);
        assertThat(StatMount.superOptions(SystemCalls.uniqueMountId(root)))
                .isEqualTo(optionsInMountInfo())
                .isEqualTo(options);
        return options;
    }

    private List<String> optionsInMountInfo() throws IOException {
        return MountInfo.ofSelf().stream()
                .filter(mount -> mount.mountPoint().equals(disk.root().toString()))
                .findFirst()
                .orElseThrow()
                .superOptions();
    }

    private OptionalLong ext4Errors() {
        return Ext4Errors.count(Device.parse(disk.number()));
    }

    private static boolean isExt4(Disk.FileSystem fileSystem) {
        return fileSystem.kernelName().equals("ext4");
    }
}
