package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What the kernel allows with a mounted overlay and with what it is made of. */
@Tag("kernel")
class OverlayFactsTest {
    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    /**
     * So the sentinel, which is attached elsewhere, still watches the filesystem that was taken away from the root, and
     * {@code snapshot.StartChecks.checkPool} can find it: mounted again it is the same one, with what was never written back.
     */
    @ParameterizedTest
    @EnumSource
    void an_overlay_keeps_the_filesystem_of_its_upper_when_that_is_unmounted(Disk.FileSystem fileSystem)
            throws IOException {
        Path elsewhere = temp.directory("elsewhere");
        try (FuseDisk disk = FuseDisk.create(fileSystem)) {
            OverlayOnDisk overlay = OverlayOnDisk.prepare(disk.root(), "overlay");
            OverlayMounter.fsopen().mount(overlay.layers(), true, elsewhere);
            String number = disk.number();
            String backing = backingFile(disk).orElseThrow();
            String instance = FileSystemInstance.of(MountInfo.containing(disk.root()));
            assertThat(instance).isNotEqualTo(FileSystemInstance.UNKNOWN);

            Mounting.unmount(disk.root());
            Files.writeString(elsewhere.resolve("file"), "written meanwhile");
            assertThat(backingFile(disk)).contains(backing);
            Command.run(
                    "mount",
                    "-t",
                    fileSystem.kernelName(),
                    disk.device().toString(),
                    disk.root().toString());

            assertThat(disk.number()).isEqualTo(number);
            assertThat(FileSystemInstance.of(MountInfo.containing(disk.root()))).isEqualTo(instance);
            assertThat(overlay.upper().resolve("file")).hasContent("written meanwhile");
            Mounting.detach(disk.root());
            assertThat(backingFile(disk)).contains(backing);
            Mounting.unmount(elsewhere);
            await("with the overlay it goes")
                    .untilAsserted(() -> assertThat(backingFile(disk)).isNotEqualTo(Optional.of(backing)));
        }
    }

    /** A loop device of the lab goes with the last mount of the filesystem on it; its number may be somebody else's then. */
    private static Optional<String> backingFile(Disk disk) throws IOException {
        try {
            return Optional.of(Files.readString(
                    Path.of("/sys/block", disk.device().getFileName().toString(), "loop/backing_file")));
        } catch (NoSuchFileException _) {
            return Optional.empty();
        }
    }

    /** So a damaged file without a name, which {@code snapshot.DamagedFiles} reports by its number, can be looked for inside the container. */
    @ParameterizedTest
    @EnumSource
    void a_file_of_an_overlay_has_the_inode_number_that_it_has_in_its_layer(Disk.FileSystem fileSystem)
            throws IOException {
        try (FuseDisk disk = FuseDisk.create(fileSystem)) {
            OverlayOnDisk overlay = OverlayOnDisk.prepare(disk.root(), "overlay");
            Files.createFile(overlay.lower().resolve("below"));
            overlay.mount(true);
            Files.createFile(overlay.merged().resolve("above"));

            assertThat(inode(overlay.merged().resolve("above")))
                    .isEqualTo(inode(overlay.upper().resolve("above")));
            assertThat(inode(overlay.merged().resolve("below")))
                    .isEqualTo(inode(overlay.lower().resolve("below")));
        }
    }

    private static long inode(Path file) throws SyscallException {
        return Stat.of(file).inode();
    }

    /**
     * Why {@code snapshot.Uppers.reattach} binds an overlay that runs on elsewhere back to its place instead of mounting its upper again, which
     * begins with a new work directory: nothing refuses the second mount, and the first one breaks.
     */
    @Test
    void an_upper_can_be_mounted_twice_and_the_first_overlay_breaks_without_its_work_directory() throws IOException {
        OverlayOnDisk first = OverlayOnDisk.prepare(temp.path(), "overlay");
        Files.writeString(first.lower().resolve("changed"), "from below");
        first.mount(true);
        Path second = temp.directory("second");

        DirectoryTree.delete(first.work());
        Files.createDirectory(first.work());
        Files.createFile(first.merged().resolve("new"));
        OverlayMounter.fsopen().mount(first.layers(), true, second);

        assertThat(second.resolve("new")).exists();
        assertThatThrownBy(() -> Fd.openAppend(first.merged().resolve("changed")))
                .as("it can copy nothing up any more")
                .isInstanceOf(SyscallException.class);
        Fd.openAppend(second.resolve("changed")).close();
    }

    /** With {@code index=on}, which is not ours, the kernel would refuse it. */
    @ParameterizedTest
    @ValueSource(strings = {"off", "on"})
    void only_an_index_keeps_an_upper_from_being_mounted_twice(String index) throws IOException {
        OverlayOnDisk first = OverlayOnDisk.prepare(temp.path(), "overlay");
        mount(first, index, first.work(), first.merged());
        Path work = temp.directory("overlay/another-work");
        Path second = temp.directory("second");

        if (index.equals("on")) {
            assertErrno(Errno.EBUSY, () -> mount(first, index, work, second));
        } else {
            mount(first, index, work, second);
            assertThat(temp.mounts()).hasSize(2);
        }
    }

    private static void mount(OverlayOnDisk overlay, String index, Path work, Path target) throws SyscallException {
        CString type = CString.of("overlay");
        String options =
                "index=%s,lowerdir=%s,upperdir=%s,workdir=%s".formatted(index, overlay.lower(), overlay.upper(), work);
        SystemCalls.mount(type, target, type, 0, CString.of(options));
    }

    /** So what {@code linux.VolatileMount} has seen once holds for the life of the mount. mount(2) says nothing of what it ignores. */
    @ParameterizedTest
    @ValueSource(strings = {"auto", "strict"})
    void no_remount_takes_volatile_away(String fsync) throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(temp.path(), "overlay");

        RawCalls.remount(overlay.merged(), false, "fsync=" + fsync);
        assertThat(MountInfo.containing(overlay.merged()).isVolatile()).isTrue();
        assertErrno(Errno.EINVAL, () -> RawCalls.reconfigure(overlay.merged(), "fsync", fsync));

        assertThat(MountInfo.containing(overlay.merged()).isVolatile()).isTrue();
    }

    /** Why the daemon, which holds a descriptor of each overlay, detaches them ({@code superblock.VolatileOverlay.detach}). */
    @Test
    void an_open_descriptor_of_any_kind_makes_an_overlay_busy() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(temp.path(), "overlay");
        try (Fd _ = Fd.openDirectory(overlay.merged())) {
            assertErrno(Errno.EBUSY, () -> Mounting.unmount(overlay.merged()));
        }
        try (Fd _ = Fd.openPath(overlay.merged())) {
            assertErrno(Errno.EBUSY, () -> Mounting.unmount(overlay.merged()));
        }
        Mounting.unmount(overlay.merged());
    }

    /** Why {@link FsopenOverlayMounter} closes it once the overlay is attached, and opens the root of one that stays detached. */
    @Test
    void the_descriptor_of_fsmount_makes_an_overlay_busy_and_can_not_be_asked_for_errors() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(temp.path(), "overlay");
        try (Fd mount = overlay.createMount()) {
            assertErrno(Errno.EBADF, () -> Sync.fsync(mount));
            assertErrno(Errno.EBADF, () -> Sync.syncfs(mount));
            FileSystemContext.attach(MountApi.ofThisLibrary(), mount, overlay.merged());
            assertErrno(Errno.EBUSY, () -> Mounting.unmount(overlay.merged()));
        }
        Mounting.unmount(overlay.merged());
    }

    /** The names that {@code OverlayMounterTest} does not try. */
    @Test
    void fsync_takes_no_value_that_the_kernel_does_not_have() throws IOException {
        try (FileSystemContext context = FileSystemContext.open(MountApi.ofThisLibrary(), "overlay")) {
            for (String value : List.of("auto", "strict", "volatile")) {
                context.setString("fsync", value);
            }
            assertErrno(Errno.EINVAL, () -> context.setString("fsync", "ordered"));
        }
    }

    /**
     * Why {@code snapshot.Uppers.remount} makes the work directory anew: the mark that a volatile mount leaves there outlasts it.
     */
    @Test
    void the_mark_of_a_volatile_mount_refuses_any_other_until_it_is_removed() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(temp.path(), "overlay");
        Mounting.unmount(overlay.merged());
        Path mark = overlay.work().resolve("work/incompat/volatile");

        assertErrno(Errno.EINVAL, () -> overlay.mount(true));
        assertErrno(Errno.EINVAL, () -> overlay.mount(false));
        Files.delete(mark.resolve("dirty"));
        assertErrno(Errno.EINVAL, () -> overlay.mount(false));
        Files.delete(mark);

        overlay.mount(false);
        Mounting.unmount(overlay.merged());
        assertThat(mark).doesNotExist();
        overlay.mount(true);
        assertThat(mark.resolve("dirty")).exists();
    }
}
