package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What else an overlay can be that is volatile, and how its options reach the kernel or don't. */
@Tag("kernel")
class VolatileOptionsFactsTest {
    private static final int LONGEST_VALUE_BYTES = 255;

    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    /** So nothing but our own options keeps these off. The kernel shows no {@code xino} where all layers are on one filesystem. */
    @ParameterizedTest
    @CsvSource({
        "metacopy, metacopy=on redirect_dir=on",
        "redirect_dir, redirect_dir=on",
        "nfs_export, nfs_export=on index=on",
        "verity, verity=on",
        "xino, rw"
    })
    void a_volatile_overlay_may_have_any_of_these_and_some_imply_others(String key, String shown) throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(temp.path(), "overlay");
        try (FileSystemContext context = overlay.context()) {
            context.setString(key, "on");
            assertThat(optionsOfVolatile(context, overlay)).contains(shown.split(" ", -1));
        }
    }

    @Test
    void a_volatile_overlay_with_attributes_of_users_follows_no_redirects() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(temp.path(), "overlay");
        try (FileSystemContext context = overlay.context()) {
            context.setFlag("userxattr");
            assertThat(optionsOfVolatile(context, overlay)).contains("userxattr", "redirect_dir=nofollow");
        }
    }

    @Test
    void a_volatile_overlay_may_have_layers_of_data_only_and_no_others_after_them() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(temp.path(), "overlay");
        Path data = temp.directory("data");
        Path another = temp.directory("another");
        try (FileSystemContext context = overlay.context()) {
            context.setString("metacopy", "on");
            context.setDirectory("datadir+", data);
            assertThatThrownBy(() -> context.setDirectory("lowerdir+", another))
                    .isInstanceOfSatisfying(SyscallException.class, failure -> {
                        assertThat(failure.errno()).isEqualTo(Errno.EINVAL);
                        assertThat(failure.kernelMessage()).contains("data");
                    });

            assertThat(optionsOfVolatile(context, overlay))
                    .contains("datadir+=" + data)
                    .noneMatch(option -> option.contains(another.toString()));
        }
    }

    private static List<String> optionsOfVolatile(FileSystemContext context, OverlayOnDisk overlay)
            throws SyscallException {
        context.setFlag("volatile");
        try (Fd mount = context.createMount()) {
            FileSystemContext.attach(MountApi.ofThisLibrary(), mount, overlay.merged());
        }
        List<String> options = MountInfo.superOptionsOf(overlay.merged());
        assertThat(MountInfo.saysVolatile(options)).isTrue();
        return options;
    }

    /** Why {@link VolatileMount} looks, and {@link OverlayOptions} counts: what is behind the page is lost, here "volatile". */
    @Test
    void mount_2_cuts_its_options_off_and_mounts_what_is_left() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(temp.path(), "overlay");
        String layers =
                "upperdir=%s,workdir=%s,lowerdir=%s".formatted(overlay.upper(), overlay.work(), overlay.lower());
        int missing = OverlayOptions.LONGEST_BYTES - layers.getBytes(StandardCharsets.UTF_8).length;
        String whole = layers + "/".repeat(missing);

        mount(overlay, whole + ",volatile");
        assertThat(MountInfo.containing(overlay.merged()).isVolatile()).isFalse();

        Mounting.unmount(overlay.merged());
        mount(overlay, "volatile," + layers);
        assertThat(MountInfo.containing(overlay.merged()).isVolatile()).isTrue();
    }

    private static void mount(OverlayOnDisk overlay, String options) throws SyscallException {
        CString type = CString.of("overlay");
        SystemCalls.mount(type, overlay.merged(), type, 0, CString.of(options));
    }

    /** Why {@link FileSystemContext} hands a longer path over by a descriptor. */
    @Test
    void fsconfig_takes_no_value_of_more_than_255_bytes() throws IOException {
        try (FileSystemContext context = FileSystemContext.open(MountApi.ofThisLibrary(), "overlay")) {
            assertErrno(Errno.EINVAL, () -> context.setString("source", "x".repeat(LONGEST_VALUE_BYTES + 1)));
            context.setString("source", "x".repeat(LONGEST_VALUE_BYTES));
        }
    }

    @Test
    void the_mark_refuses_a_second_volatile_mount_while_the_first_is_there() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(temp.path(), "overlay");
        Path second = temp.directory("second");

        assertErrno(Errno.EINVAL, () -> OverlayMounter.fsopen().mount(overlay.layers(), true, second));
        assertErrno(Errno.EINVAL, () -> OverlayMounter.fsopen().mount(overlay.layers(), false, second));
    }
}
