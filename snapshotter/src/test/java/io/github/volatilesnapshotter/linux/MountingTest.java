package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

@Tag("kernel")
class MountingTest {
    private static final long NO_SET_USER_ID_AND_NO_DEVICES = 2 | 4;

    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    @Test
    void a_bind_mount_shows_its_source() throws IOException {
        Path source = temp.directory("source");
        Path target = temp.directory("target");

        Mounting.bind(source, target, false);
        Files.writeString(target.resolve("file"), "content");

        assertThat(source.resolve("file")).hasContent("content");
        assertThat(MountInfo.containing(target).isReadOnly()).isFalse();
        Mounting.unmount(target);
        assertThat(target).isEmptyDirectory();
    }

    @Test
    void a_read_only_bind_mount_keeps_the_restrictions_of_its_source() throws IOException {
        Path source = temp.directory("source");
        Path target = temp.directory("target");
        MountedTempDirectory.mountTmpfs(source, NO_SET_USER_ID_AND_NO_DEVICES);

        Mounting.bind(source, target, true);

        assertThat(MountInfo.containing(target).options()).contains("ro", "nosuid", "nodev");
        assertThat(MountInfo.containing(source).options()).contains("rw");
        assertErrno(Errno.EROFS, () -> Entries.mkdir(target.resolve("new"), 0700));
        Entries.mkdir(source.resolve("new"), 0700);
    }

    @Test
    void a_mount_in_use_can_be_detached_but_not_unmounted() throws IOException {
        Path target = temp.directory("target");
        MountedTempDirectory.mountTmpfs(target, 0);
        try (Fd user = Fd.openDirectory(target)) {
            assertErrno(Errno.EBUSY, () -> Mounting.unmount(target));
            Mounting.detach(target);

            assertThat(temp.mounts()).isEmpty();
            Sync.fsync(user);
        }
    }

    @Test
    void a_directory_that_is_no_mount_cannot_be_detached() throws IOException {
        Path directory = temp.directory("directory");

        assertErrno(Errno.EINVAL, () -> Mounting.detach(directory));
    }

    @Test
    void a_symbolic_link_to_a_mount_does_not_take_it_away() throws IOException {
        Path target = temp.directory("target");
        MountedTempDirectory.mountTmpfs(target, 0);
        Path link = Files.createSymbolicLink(temp.path().resolve("link"), target);

        assertErrno(Errno.EINVAL, () -> Mounting.detach(link));
        assertThat(temp.mounts()).hasSize(1);
    }

    @Test
    void propagation_is_as_asked_for() throws IOException {
        Path target = temp.directory("target");
        MountedTempDirectory.mountTmpfs(target, 0);

        Mounting.makeRshared(target);
        assertThat(MountInfo.containing(target).optionalFields()).anyMatch(field -> field.startsWith("shared:"));
        Mounting.makePrivate(target);
        assertThat(MountInfo.containing(target).optionalFields()).isEmpty();
    }

    @Test
    void the_directory_below_a_mount_is_another_than_the_one_on_it() throws IOException {
        Path target = temp.directory("target");
        try (Fd below = Fd.openDirectory(target)) {
            MountedTempDirectory.mountTmpfs(target, 0);

            assertThat(MountInfo.containing(target).fsType()).isEqualTo("tmpfs");
            assertThat(MountInfo.containing(below).fsType()).isNotEqualTo("tmpfs");
            assertThat(FileSystemStat.of(target).type()).isEqualTo(FileSystemStat.TMPFS);
        }
    }

    @Test
    void a_detached_mount_is_in_no_mountinfo() throws IOException {
        Path target = temp.directory("target");
        MountedTempDirectory.mountTmpfs(target, 0);
        try (Fd user = Fd.openDirectory(target)) {
            Mounting.detach(target);

            assertErrno(Errno.ENOENT, () -> MountInfo.containing(user));
        }
    }

    @Test
    void a_mount_below_the_root_stops_deletion_before_its_content_is_touched() throws IOException {
        Path precious = Files.writeString(temp.directory("source").resolve("precious"), "kept");
        Path root = temp.directory("root");
        // A bind mount of the same filesystem: st_dev says nothing here.
        Mounting.bind(precious.getParent(), temp.directory("root/a/mounted"), false);

        assertErrno(Errno.EBUSY, () -> DirectoryTree.delete(root));

        assertThat(precious).hasContent("kept");
        Mounting.detach(root.resolve("a/mounted"));
        DirectoryTree.delete(root);
        assertThat(root).doesNotExist();
    }

    @Test
    void a_root_that_is_a_mount_point_is_not_deleted() throws IOException {
        Path precious = Files.writeString(temp.directory("source").resolve("precious"), "kept");
        Path root = temp.directory("root");
        Mounting.bind(precious.getParent(), root, false);

        assertErrno(Errno.EBUSY, () -> DirectoryTree.delete(root));
        assertThat(precious).hasContent("kept");
    }

    @Test
    void usage_does_not_enter_other_mounts() throws IOException {
        Path mounted = temp.directory("root/mounted");
        MountedTempDirectory.mountTmpfs(mounted, 0);
        Files.createFile(mounted.resolve("elsewhere"));

        assertThat(DirectoryTree.usage(temp.path().resolve("root"), () -> false).inodes())
                .isEqualTo(2);
    }

    @Test
    void devices_and_whiteouts_are_deleted_with_the_rest() throws IOException {
        Path lower = temp.directory("lower");
        Files.createFile(lower.resolve("removed"));
        Path upper = temp.directory("root/upper");
        Path merged = temp.directory("merged");
        OverlayMounter.fsopen()
                .mount(new OverlayLayers(List.of(lower), upper, temp.directory("root/work")), true, merged);
        Files.delete(merged.resolve("removed"));
        Mounting.unmount(merged);
        assertThat(Entries.exists(upper.resolve("removed"))).isTrue();

        DirectoryTree.delete(temp.path().resolve("root"));

        assertThat(temp.path().resolve("root")).doesNotExist();
    }

    @Test
    void root_is_a_capable_user() {
        assertThat(Capabilities.hasSysAdmin()).isTrue();
        assertThat(Capabilities.hasDacReadSearch()).isTrue();
    }
}
