package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What can be done to an overlay and its upper while a container still writes there, and what can't. */
@Tag("kernel")
class LiveUpperFactsTest {
    private static final int BOUND_SECONDS = 20;
    private static final Errno ENOTTY = new Errno(25);
    /** FS_IOC_SHUTDOWN, _IOR('X', 125, __u32). */
    private static final long SHUTDOWN = 0x8004587DL;
    /** FIFREEZE, _IOWR('X', 119, int). */
    private static final long FREEZE = 0xC0045877L;

    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    enum WayToReadOnly {
        MOUNT {
            @Override
            void take(Path mountPoint) throws SyscallException {
                RawCalls.remount(mountPoint, true, "");
            }
        },
        FSPICK {
            @Override
            void take(Path mountPoint) throws SyscallException {
                RawCalls.reconfigure(mountPoint, "ro");
            }
        },
        MOUNT_SETATTR {
            @Override
            void take(Path mountPoint) throws SyscallException {
                RawCalls.makeReadOnly(mountPoint);
            }
        };

        abstract void take(Path mountPoint) throws SyscallException;
    }

    /** Why a poisoned container has to be stopped: nothing takes its writes away from it while it runs. */
    @ParameterizedTest
    @EnumSource
    void it_can_not_be_made_read_only_while_a_file_is_open_for_writing(WayToReadOnly way) throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(temp.path(), "overlay");
        Path file = overlay.merged().resolve("file");
        try (Fd writer = Fd.create(file, 0600)) {
            assertErrno(Errno.EBUSY, () -> way.take(overlay.merged()));
            writer.write(new byte[1]);
        }

        try (Fd _ = Fd.openReadOnly(file)) {
            way.take(overlay.merged());
            assertErrno(Errno.EROFS, () -> Fd.openReadWrite(file));
            assertErrno(Errno.EROFS, () -> Entries.mkdir(overlay.merged().resolve("new"), 0700));
        }
    }

    /** So an overlay can't be made to answer EIO to its container, as a filesystem that was shut down does. */
    @Test
    void it_can_be_neither_shut_down_nor_frozen() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(temp.path(), "overlay");
        try (Fd root = Fd.openDirectory(overlay.merged())) {
            assertErrno(ENOTTY, () -> RawCalls.ioctl(root, SHUTDOWN, 0));
            assertErrno(Errno.EOPNOTSUPP, () -> RawCalls.ioctl(root, FREEZE, 0));
        }
        Files.createFile(overlay.merged().resolve("it-goes-on"));
    }

    /** At no moment is there nothing at the path. Whoever has the old one open keeps it. */
    @Test
    void another_one_put_beneath_it_is_in_its_place_once_it_is_detached() throws IOException {
        OverlayOnDisk old = OverlayOnDisk.mountVolatile(temp.path(), "old");
        OverlayOnDisk fresh = OverlayOnDisk.prepare(temp.path(), "fresh");
        Files.createFile(old.upper().resolve("old"));
        Files.createFile(fresh.upper().resolve("fresh"));
        try (Fd user = Fd.openDirectory(old.merged());
                Fd mount = fresh.createMount()) {
            RawCalls.moveBeneath(mount, old.merged());
            assertThat(old.merged().toFile().list()).containsExactly("old");

            Mounting.detach(old.merged());

            assertThat(old.merged().toFile().list()).containsExactly("fresh");
            assertThat(Path.of("/proc/self/fd/" + user.number()).toFile().list())
                    .containsExactly("old");
            Files.createFile(Path.of("/proc/self/fd/" + user.number()).resolve("written"));
            assertThat(old.upper().resolve("written")).exists();
        }
    }

    /** So a removal can put it aside before the container has ended, and the name is free at once. */
    @ParameterizedTest
    @ValueSource(strings = {"overlay", "overlay/upper"})
    void the_upper_or_its_parent_can_be_renamed_and_the_overlay_goes_on_there(String renamed) throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(temp.path(), "overlay");
        Path merged = temp.directory("merged");
        OverlayMounter.fsopen().mount(overlay.layers(), true, merged);
        Files.writeString(overlay.lower().resolve("below"), "from below");

        Entries.rename(temp.path().resolve(renamed), temp.path().resolve("aside"));
        Files.writeString(merged.resolve("new"), "written later");

        Path upper = renamed.equals("overlay")
                ? temp.path().resolve("aside/upper")
                : temp.path().resolve("aside");
        assertThat(upper.resolve("new")).hasContent("written later");
        assertThat(overlay.upper()).doesNotExist();
        Fd.openAppend(merged.resolve("below")).close();
        assertThat(upper.resolve("below")).as("copied up").exists();
    }

    /** Its user keeps the files that are open, and makes no new ones. */
    @Test
    void the_upper_can_be_deleted() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(temp.path(), "overlay");
        Path file = overlay.merged().resolve("file");
        try (Fd user = Fd.create(file, 0600)) {
            DirectoryTree.delete(overlay.upper());

            assertThat(overlay.upper()).doesNotExist();
            user.write(new byte[1]);
            assertErrno(Errno.ENOENT, () -> Entries.mkdir(overlay.merged().resolve("new"), 0700));
        }
    }

    /** Frozen processes too. After that the upper is nobody's: with an index, which notices, it can be mounted again at once. */
    @Test
    void when_the_processes_of_a_control_group_are_killed_the_upper_is_free() throws Exception {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(temp.path(), "overlay");
        Path group = Files.createTempDirectory(controlGroups(), "facts");
        Process container =
                new ProcessBuilder("cat").directory(overlay.merged().toFile()).start();
        try {
            Files.writeString(group.resolve("cgroup.procs"), Long.toString(container.pid()));
            Files.writeString(group.resolve("cgroup.freeze"), "1");
            awaitEvent(group, "frozen 1");
            assertErrno(Errno.EBUSY, () -> Mounting.unmount(overlay.merged()));

            Files.writeString(group.resolve("cgroup.kill"), "1");

            assertThat(container.waitFor(BOUND_SECONDS, TimeUnit.SECONDS)).isTrue();
            awaitEvent(group, "populated 0");
            Mounting.unmount(overlay.merged());
            DirectoryTree.delete(overlay.work());
            Files.createDirectory(overlay.work());
            try (FileSystemContext context = overlay.context()) {
                context.setString("index", "on");
                context.createMount().close();
            }
        } finally {
            container.destroyForcibly();
            Files.writeString(group.resolve("cgroup.freeze"), "0");
            assertThat(container.waitFor(BOUND_SECONDS, TimeUnit.SECONDS)).isTrue();
            await().untilAsserted(() -> Entries.rmdir(group));
        }
    }

    private static Path controlGroups() throws IOException {
        return Path.of(MountInfo.ofSelf().stream()
                .filter(mount -> mount.fsType().equals("cgroup2"))
                .findFirst()
                .orElseThrow()
                .mountPoint());
    }

    private static void awaitEvent(Path group, String event) {
        await().untilAsserted(() ->
                assertThat(Files.readAllLines(group.resolve("cgroup.events"))).contains(event));
    }
}
