package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** How a volatile overlay can be asked for errors that is mounted nowhere, or only where nobody else sees it. */
@Tag("kernel")
@ParameterizedClass
@EnumSource(Disk.FileSystem.class)
class DetachedOverlayFactsTest {
    private static final int BOUND_SECONDS = 20;

    @Parameter
    Disk.FileSystem fileSystem;

    @AutoClose
    FuseDisk disk;

    @BeforeEach
    void make_the_disk() throws IOException {
        disk = FuseDisk.create(fileSystem);
    }

    /** What {@link Damage} loses lies beside the overlay. Why one overlay watches a whole filesystem ({@code superblock.Sentinel}). */
    @Test
    void one_that_was_never_attached_is_told_of_later_errors_of_any_file_of_its_filesystem() throws IOException {
        try (Fd sample = OverlayOnDisk.sampleOf(disk)) {
            assertThat(Sync.fsyncError(sample)).isEmpty();

            Damage.loseData(disk);

            assertThat(Sync.fsyncError(sample)).contains(Errno.EIO);
            assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);
            assertThat(Sync.fsyncError(sample)).contains(Errno.EIO);
        }
    }

    /** So whoever makes one clears its work directory first. */
    @Test
    void one_that_was_never_attached_leaves_its_mark() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(disk.root(), "overlay");
        OverlayMounter.fsopen().openDetached(overlay.layers()).close();

        assertThat(overlay.work().resolve("work/incompat/volatile/dirty")).exists();
        assertErrno(Errno.EINVAL, () -> OverlayMounter.fsopen().openDetached(overlay.layers()));
    }

    /** But the overlay lives as long, and with it the claim on its upper, which an index would notice. */
    @Test
    void a_clone_of_its_mount_lets_it_be_unmounted_and_goes_on_to_tell_of_errors() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(disk.root(), "overlay");
        try (DetachedView clone = DetachedView.of(overlay.merged())) {
            Mounting.unmount(overlay.merged());
            assertThat(MountInfo.containing(overlay.merged()).mountPoint())
                    .isEqualTo(disk.root().toString());
            assertThat(Sync.fsyncError(clone.directory())).isEmpty();

            Damage.loseData(disk);

            assertThat(Sync.fsyncError(clone.directory())).contains(Errno.EIO);
        }
    }

    @Test
    void the_upper_is_in_use_until_the_clone_of_the_mount_is_closed() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(disk.root(), "overlay");
        Path work = Files.createDirectory(overlay.directory().resolve("another-work"));
        try (DetachedView _ = DetachedView.of(overlay.merged())) {
            Mounting.unmount(overlay.merged());
            assertErrno(Errno.EBUSY, () -> createIndexed(overlay, work));
        }
        await().untilAsserted(() -> createIndexed(overlay, work));
    }

    private static void createIndexed(OverlayOnDisk overlay, Path work) throws SyscallException {
        try (FileSystemContext context = FileSystemContext.open(MountApi.ofThisLibrary(), "overlay")) {
            context.setString("index", "on");
            context.setDirectory("lowerdir+", overlay.lower());
            context.setDirectory("upperdir", overlay.upper());
            context.setDirectory("workdir", work);
            context.createMount().close();
        }
    }

    /** A container that runs on after its mount on the host was detached: its root is in its mount namespace only. */
    @Test
    void one_that_only_a_container_sees_is_asked_through_the_root_of_its_process() throws Exception {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(disk.root(), "overlay");
        // The layer has the programs of this machine, so that one can run in it.
        OverlayLayers layers = new OverlayLayers(List.of(Path.of("/")), overlay.upper(), overlay.work());
        OverlayMounter.fsopen().mount(layers, true, overlay.merged());
        // It ends with its input, that is with this process at the latest.
        Process container = new ProcessBuilder(
                        "unshare",
                        "--mount",
                        "--propagation",
                        "private",
                        "chroot",
                        overlay.merged().toString(),
                        "cat")
                .start();
        try {
            Path process = Path.of("/proc", Long.toString(container.pid()));
            await("it runs in its root")
                    .untilAsserted(() -> assertThat(process.resolve("comm")).hasContent("cat"));
            Mounting.detach(overlay.merged());
            assertThat(MountInfo.ofSelf())
                    .extracting(MountInfo::mountPoint)
                    .doesNotContain(overlay.merged().toString());
            assertThat(errorOf(process.resolve("root"))).isEqualTo("none");

            Damage.loseData(disk);

            assertThat(errorOf(process.resolve("root"))).isEqualTo("EIO");
        } finally {
            container.destroyForcibly();
            assertThat(container.waitFor(BOUND_SECONDS, TimeUnit.SECONDS)).isTrue();
        }
    }

    private static String errorOf(Path root) throws SyscallException {
        try (Fd opened = Fd.openDirectory(root)) {
            return Sync.fsyncError(opened).map(Errno::name).orElse("none");
        }
    }
}
