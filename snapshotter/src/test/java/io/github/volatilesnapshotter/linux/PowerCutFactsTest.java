package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FuseDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What a volatile overlay leaves when the power fails, which a shutdown without the log stands for here. Why a start asks
 * {@link BootId} and not the mark whether an upper may be mounted again.
 */
@Tag("kernel")
class PowerCutFactsTest {
    @ParameterizedTest
    @EnumSource(names = {"EXT4", "XFS"})
    void before_the_log_is_committed_there_is_no_file_and_no_mark(FileSystem fileSystem) throws IOException {
        try (FuseDisk disk = FuseDisk.create(fileSystem)) {
            OverlayOnDisk overlay = mountAndWrite(disk);

            cutPower(disk, overlay);

            assertThat(overlay.upper()).isEmptyDirectory();
            assertThat(overlay.work()).isEmptyDirectory();
            overlay.mount(true);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"EXT4", "XFS"})
    void once_somebody_commits_the_log_there_are_the_mark_and_an_empty_file(FileSystem fileSystem) throws IOException {
        try (FuseDisk disk = FuseDisk.create(fileSystem)) {
            OverlayOnDisk overlay = mountAndWrite(disk);
            Disk.fsync(Files.writeString(disk.root().resolve("somebody-elses"), "content"));

            cutPower(disk, overlay);

            assertThat(disk.root().resolve("somebody-elses")).hasContent("content");
            assertThat(overlay.upper().resolve("file")).isEmptyFile();
            assertThat(overlay.work().resolve("work/incompat/volatile/dirty")).exists();
            assertErrno(Errno.EINVAL, () -> overlay.mount(true));
            assertErrno(Errno.EINVAL, () -> overlay.mount(false));
        }
    }

    /** A file that its writer takes for durable. */
    private static OverlayOnDisk mountAndWrite(FuseDisk disk) throws IOException {
        if (disk.fileSystem() == FileSystem.EXT4) {
            // The kernel's own commit comes every five seconds otherwise; that of xfs every thirty.
            Command.run("mount", "-o", "remount,commit=600", disk.root().toString());
        }
        OverlayOnDisk overlay = OverlayOnDisk.prepare(disk.root(), "overlay");
        disk.syncfs();
        overlay.mount(true);
        Path file = overlay.merged().resolve("file");
        Files.writeString(file, "content");
        Disk.fsync(file);
        return overlay;
    }

    private static void cutPower(FuseDisk disk, OverlayOnDisk overlay) throws IOException {
        Damage.shutDown(disk);
        Mounting.unmount(overlay.merged());
        disk.remount();
    }
}
