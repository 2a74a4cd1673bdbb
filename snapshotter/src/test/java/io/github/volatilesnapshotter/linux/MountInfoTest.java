package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MountInfoTest {
    @TempDir
    Path directory;

    @Test
    void a_line_becomes_a_mount() throws IOException {
        assertThat(parse("36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue"))
                .containsExactly(new MountInfo(
                        36,
                        35,
                        98,
                        0,
                        "/mnt1",
                        "/mnt2",
                        List.of("rw", "noatime"),
                        List.of("master:1", "shared:7"),
                        "ext3",
                        "/dev/root",
                        List.of("rw", "errors=continue")));
    }

    @Test
    void a_mount_may_have_no_optional_fields() throws IOException {
        MountInfo mount = parse("22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw").getFirst();

        assertThat(mount.optionalFields()).isEmpty();
        assertThat(mount.fsType()).isEqualTo("ext4");
        assertThat(mount.device()).isEqualTo(new Device(8, 1));
    }

    @Test
    void octal_escapes_are_decoded() throws IOException {
        MountInfo mount = parse("22 1 8:1 /a\\134b /with\\040space\\011tab\\012newline rw - ext4 /dev/x\\043 rw")
                .getFirst();

        assertThat(mount.root()).isEqualTo("/a\\b");
        assertThat(mount.mountPoint()).isEqualTo("/with space\ttab\nnewline");
        assertThat(mount.source()).isEqualTo("/dev/x#");
    }

    @Test
    void a_comma_inside_an_option_does_not_end_it() throws IOException {
        assertThat(parse("22 1 0:5 / /m rw - overlay overlay rw,lowerdir+=/a\\054b,volatile")
                        .getFirst()
                        .superOptions())
                .containsExactly("rw", "lowerdir+=/a,b", "volatile");
    }

    @Test
    void a_mount_point_that_is_not_utf8_breaks_nothing() throws IOException {
        Path file = directory.resolve("mountinfo");
        Files.write(
                file,
                "22 1 8:1 / /n\u00fcl rw - ext4 /dev/sda1 rw\n23 1 8:2 / /b rw - ext4 /dev/sda2 rw\n"
                        .getBytes(StandardCharsets.ISO_8859_1));

        assertThat(MountInfo.parse(file)).extracting(MountInfo::mountPoint).containsExactly("/n\ufffdl", "/b");
    }

    @Test
    void a_mount_point_in_utf8_is_read_as_such() throws IOException {
        assertThat(parse("22 1 8:1 / /größe rw - ext4 /dev/sda1 rw").getFirst().mountPoint())
                .isEqualTo("/größe");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                "garbage",
                "36 35 98:0 /mnt1 /mnt2 rw ext3 /dev/root rw",
                "36 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root",
                "x 35 98:0 /mnt1 /mnt2 rw - ext3 /dev/root rw",
                "36 35 980 /mnt1 /mnt2 rw - ext3 /dev/root rw",
                "36 35 98:0 - ext3 /dev/root rw a b c"
            })
    void a_broken_line_between_good_ones_is_refused(String broken) {
        String good = "22 1 8:1 / / rw - ext4 /dev/sda1 rw";

        assertThatIllegalArgumentException().isThrownBy(() -> parse(good + "\n" + broken + "\n" + good));
    }

    @ParameterizedTest
    @ValueSource(strings = {"volatile", "fsync=volatile"})
    void an_overlay_is_volatile_in_either_spelling(String option) throws IOException {
        assertThat(parse("22 1 0:5 / /m rw - overlay overlay rw,upperdir=/u," + option)
                        .getFirst()
                        .isVolatile())
                .isTrue();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "overlay overlay rw,upperdir=/volatile",
                "overlay overlay rw,fsync=auto",
                "overlay overlay rw,fsync=strict",
                "ext4 volatile rw,volatile"
            })
    void anything_else_is_not_volatile(String rest) throws IOException {
        assertThat(parse("22 1 0:5 / /m rw - " + rest).getFirst().isVolatile()).isFalse();
    }

    @Test
    void a_mount_is_read_only_if_it_or_its_superblock_is() throws IOException {
        assertThat(parse("""
                1 0 8:1 / /a rw - ext4 /dev/sda1 rw
                2 0 8:1 / /b ro,relatime - ext4 /dev/sda1 rw
                3 0 8:1 / /c rw,relatime - ext4 /dev/sda1 ro,errors=remount-ro
                4 0 8:1 / /d rw - ext4 /dev/sda1 rw,errors=remount-ro
                """)).extracting(MountInfo::isReadOnly).containsExactly(false, true, true, false);
    }

    @Test
    void a_missing_file_is_named() {
        assertThatThrownBy(() -> MountInfo.parse(directory.resolve("absent")))
                .isInstanceOfSatisfying(SyscallException.class, failure -> {
                    assertThat(failure.errno()).isEqualTo(Errno.ENOENT);
                    assertThat(failure).hasMessageContaining("absent");
                });
    }

    @Test
    void the_mount_of_a_path_and_of_a_descriptor_are_the_same() throws IOException {
        try (Fd descriptor = Fd.openDirectory(Path.of("/proc"))) {
            MountInfo mount = MountInfo.containing(descriptor);

            assertThat(mount.mountPoint()).isEqualTo("/proc");
            assertThat(mount.fsType()).isEqualTo("proc");
            assertThat(MountInfo.containing(Path.of("/proc/self/status"))).isEqualTo(mount);
            assertThat(MountInfo.ofSelf()).contains(mount);
        }
    }

    private List<MountInfo> parse(String content) throws IOException {
        return MountInfo.parse(Files.writeString(directory.resolve("mountinfo"), content));
    }
}
