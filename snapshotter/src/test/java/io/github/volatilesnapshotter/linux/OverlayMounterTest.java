package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static io.github.volatilesnapshotter.linux.KernelAssertions.assertNoDescriptorLeft;
import static io.github.volatilesnapshotter.linux.KernelAssertions.openDescriptors;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Every way to mount, on the real kernel. */
@Tag("kernel")
class OverlayMounterTest {
    enum Way {
        FSOPEN,
        FSOPEN_BY_NUMBER,
        MOUNT_SYSCALL;

        OverlayMounter mounter() {
            return switch (this) {
                case FSOPEN -> new FsopenOverlayMounter(new MountApi.Wrapped());
                case FSOPEN_BY_NUMBER -> new FsopenOverlayMounter(new MountApi.ByNumber());
                case MOUNT_SYSCALL -> OverlayMounter.mountSyscall();
            };
        }
    }

    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    @ParameterizedTest
    @EnumSource
    void a_volatile_overlay_shows_its_layers_and_takes_writes(Way way) throws IOException {
        OverlayLayers layers = layers(temp.path(), 2);
        Path target = temp.directory("merged");

        way.mounter().mount(layers, true, target);

        assertThat(target.resolve("layer0")).hasContent("0");
        assertThat(target.resolve("layer1")).hasContent("1");
        assertThat(target.resolve("which")).hasContent("0");
        Files.writeString(target.resolve("written"), "here");
        assertThat(layers.upper().resolve("written")).hasContent("here");
        MountInfo mount = MountInfo.containing(target);
        assertThat(mount.isVolatile()).isTrue();
        assertThat(mount.mountPoint()).isEqualTo(target.toString());
        assertThat(mount.source()).isEqualTo("overlay");
    }

    @ParameterizedTest
    @EnumSource
    void an_overlay_that_need_not_be_volatile_is_not(Way way) throws IOException {
        Path target = temp.directory("merged");

        way.mounter().mount(layers(temp.path(), 1), false, target);

        assertThat(MountInfo.containing(target).isVolatile()).isFalse();
    }

    @ParameterizedTest
    @EnumSource
    void an_overlay_without_upper_is_read_only(Way way) throws IOException {
        Path target = temp.directory("merged");

        way.mounter().mount(new OverlayLayers(layers(temp.path(), 2).lower(), null, null), false, target);

        assertThat(target.resolve("layer1")).hasContent("1");
        assertErrno(Errno.EROFS, () -> Entries.mkdir(target.resolve("new"), 0700));
    }

    @ParameterizedTest
    @CsvSource({"FSOPEN,10", "FSOPEN,128", "FSOPEN,400", "FSOPEN_BY_NUMBER,128", "MOUNT_SYSCALL,10", "MOUNT_SYSCALL,128"
    })
    void every_one_of_many_layers_is_seen(Way way, int count) throws IOException {
        Path target = temp.directory("merged");

        way.mounter().mount(layers(temp.path(), count), true, target);

        for (int layer = 0; layer < count; layer++) {
            assertThat(target.resolve("layer" + layer)).hasContent(Integer.toString(layer));
        }
        assertThat(target.resolve("which")).hasContent("0");
        assertThat(MountInfo.containing(target).isVolatile()).isTrue();
    }

    @Test
    void a_layer_more_than_the_kernel_takes_is_refused_with_its_reason() throws IOException {
        Path target = temp.directory("merged");
        OverlayLayers layers = layers(temp.path(), 501);

        assertThatThrownBy(() -> Way.FSOPEN.mounter().mount(layers, true, target))
                .isInstanceOfSatisfying(SyscallException.class, failure -> {
                    assertThat(failure.errno()).isEqualTo(Errno.EINVAL);
                    assertThat(failure.kernelMessage()).contains("limit is 500");
                    assertThat(failure.arguments()).contains("layer500");
                });
        assertThat(temp.mounts()).isEmpty();
    }

    @Test
    void options_that_would_be_cut_off_are_never_mounted() throws IOException {
        Path target = temp.directory("merged");
        OverlayLayers layers = layers(temp.path(), 300);

        assertThatThrownBy(() -> Way.MOUNT_SYSCALL.mounter().mount(layers, true, target))
                .isInstanceOfSatisfying(
                        SyscallException.class,
                        failure -> assertThat(failure.errno()).isEqualTo(Errno.E2BIG))
                .hasMessageContaining("300 lower layers");
        assertThat(temp.mounts()).isEmpty();
    }

    @ParameterizedTest
    @EnumSource
    void any_character_may_be_in_a_path(Way way) throws IOException {
        Path odd = temp.directory("a:b,c\\d=e f\\054g\n\"größe'");
        Path target = Files.createDirectory(odd.resolve("merged"));

        way.mounter().mount(layers(odd, 2), true, target);

        assertThat(target.resolve("layer1")).hasContent("1");
        Files.createFile(target.resolve("written"));
        assertThat(odd.resolve("upper/written")).exists();
        assertThat(MountInfo.containing(target).mountPoint()).isEqualTo(target.toString());
    }

    @ParameterizedTest
    @EnumSource
    void a_path_longer_than_fsconfig_takes_is_mounted(Way way) throws IOException {
        Path far = temp.directory("x".repeat(200) + "/" + "y".repeat(200));
        Path target = temp.directory("merged");

        way.mounter().mount(layers(far, 3), true, target);

        assertThat(target.resolve("layer2")).hasContent("2");
        Files.createFile(target.resolve("written"));
        assertThat(far.resolve("upper/written")).exists();
    }

    @ParameterizedTest
    @EnumSource
    void no_descriptor_is_left_open(Way way) throws IOException {
        List<Path> lower = layers(temp.directory("z".repeat(250)), 3).lower();
        OverlayLayers layers = new OverlayLayers(lower, null, null);
        Path target = temp.directory("merged");
        way.mounter().mount(layers, false, target);
        int before = openDescriptors();

        Mounting.unmount(target);
        way.mounter().mount(layers, false, target);
        assertErrno(
                Errno.ENOENT,
                () -> way.mounter().mount(layers, false, temp.path().resolve("absent")));

        assertNoDescriptorLeft(before);
    }

    @ParameterizedTest
    @EnumSource
    void a_missing_layer_is_refused(Way way) throws IOException {
        OverlayLayers complete = layers(temp.path(), 2);
        List<Path> lower = new ArrayList<>(complete.lower());
        lower.add(temp.path().resolve("absent"));
        Path target = temp.directory("merged");

        assertThatThrownBy(() ->
                        way.mounter().mount(new OverlayLayers(lower, complete.upper(), complete.work()), true, target))
                .isInstanceOfSatisfying(
                        SyscallException.class,
                        failure -> assertThat(failure.errno()).isEqualTo(Errno.ENOENT))
                .hasMessageContaining("absent");
        assertThat(temp.mounts()).isEmpty();
    }

    @ParameterizedTest
    @EnumSource
    void a_work_directory_of_an_earlier_volatile_mount_is_refused(Way way) throws IOException {
        OverlayLayers layers = layers(temp.path(), 1);
        Path target = temp.directory("merged");
        way.mounter().mount(layers, true, target);
        Mounting.unmount(target);

        assertErrno(Errno.EINVAL, () -> way.mounter().mount(layers, true, target));
        assertThat(temp.mounts()).isEmpty();
    }

    @Test
    void a_rejected_parameter_is_told_in_the_kernels_words() throws IOException {
        try (FileSystemContext context = FileSystemContext.open(new MountApi.Wrapped(), "overlay")) {
            assertThatThrownBy(() -> context.setFlag("nonsense"))
                    .hasMessage("fsconfig(FSCONFIG_SET_FLAG, \"nonsense\"): EINVAL (22): "
                            + "overlay: Unknown parameter 'nonsense'");
        }
    }

    @ParameterizedTest
    @CsvSource({"auto", "strict"})
    void an_overlay_that_is_not_volatile_though_asked_is_taken_away(String fsync) throws IOException {
        Path target = temp.directory("merged");
        OverlayLayers layers = layers(temp.path(), 1);
        mountWithTrailingOption(layers, target, "fsync=" + fsync);

        assertThatThrownBy(() -> VolatileMount.require(target))
                .isInstanceOf(SyscallException.class)
                .hasMessageContaining("asked for volatile")
                .hasMessageContaining("upperdir=" + layers.upper());
        assertThat(temp.mounts()).isEmpty();
    }

    @Test
    void statmount_says_what_mountinfo_says() throws IOException {
        Path target = temp.directory("merged");
        Way.FSOPEN.mounter().mount(layers(temp.directory("comma,and space"), 400), true, target);

        List<String> superOptions = StatMount.superOptions(SystemCalls.uniqueMountId(target));

        assertThat(superOptions)
                .isEqualTo(MountInfo.containing(target).superOptions())
                .hasSizeGreaterThan(400);
    }

    @Test
    void a_detached_overlay_is_seen_nowhere_and_can_be_asked_for_errors() throws IOException {
        OverlayLayers layers = layers(temp.path(), 1);

        try (Fd root = OverlayMounter.fsopen().openDetached(layers)) {
            Sync.fsync(root);

            assertThat(Stat.of(root).isDirectory()).isTrue();
            assertThat(FileSystemStat.of(Path.of("/proc/self/fd/" + root.number()))
                            .type())
                    .isEqualTo(FileSystemStat.OVERLAYFS);
            assertThat(temp.mounts()).isEmpty();
        }
    }

    /** Uppermost first: layer0. Each has a file of its own and one that the layers below have too. */
    private static OverlayLayers layers(Path parent, int count) throws IOException {
        List<Path> lower = new ArrayList<>();
        for (int layer = 0; layer < count; layer++) {
            Path directory = Files.createDirectory(parent.resolve("layer" + layer));
            Files.writeString(directory.resolve("layer" + layer), Integer.toString(layer));
            Files.writeString(directory.resolve("which"), Integer.toString(layer));
            lower.add(directory);
        }
        return new OverlayLayers(
                lower, Files.createDirectory(parent.resolve("upper")), Files.createDirectory(parent.resolve("work")));
    }

    private static void mountWithTrailingOption(OverlayLayers layers, Path target, String option)
            throws SyscallException {
        CString overlay = CString.of("overlay");
        String options = "volatile,lowerdir=%s,upperdir=%s,workdir=%s,%s"
                .formatted(layers.lower().getFirst(), layers.upper(), layers.work(), option);
        SystemCalls.mount(overlay, target, overlay, 0, CString.of(options));
    }
}
