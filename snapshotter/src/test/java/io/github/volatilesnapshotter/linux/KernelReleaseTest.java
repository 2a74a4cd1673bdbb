package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class KernelReleaseTest {
    @ParameterizedTest
    @CsvSource({
        "6.1.0-18-amd64,6,1",
        "5.14.0-427.13.1.el9_4.x86_64,5,14",
        "6.18.44,6,18",
        "7.0-rc1,7,0",
        "6.8.0-1008-aws,6,8"
    })
    void a_release_begins_with_two_numbers(String text, int major, int minor) {
        assertThat(KernelRelease.parse(text)).isEqualTo(new KernelRelease(major, minor, text));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "6", "six.one", "v6.1", "99999999999.1"})
    void anything_else_is_refused(String text) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> KernelRelease.parse(text))
                .withMessageContaining(text);
    }

    @Test
    void releases_are_compared_as_numbers() {
        KernelRelease release = KernelRelease.parse("6.10.3");

        assertThat(release.atLeast(6, 8)).isTrue();
        assertThat(release.atLeast(6, 10)).isTrue();
        assertThat(release.atLeast(5, 19)).isTrue();
        assertThat(release.atLeast(6, 11)).isFalse();
        assertThat(release.atLeast(7, 0)).isFalse();
        assertThat(release).isGreaterThan(KernelRelease.parse("6.9.12")).isLessThan(KernelRelease.parse("7.0"));
    }

    @Test
    void the_running_kernel_has_one() {
        assertThat(KernelRelease.current().text()).isEqualTo(System.getProperty("os.version"));
    }

    @Test
    void kernels_before_6_8_mount_by_mount() {
        assertThat(OverlayMounter.forKernel(KernelRelease.parse("6.7.12")))
                .isInstanceOf(MountSyscallOverlayMounter.class);
        assertThat(OverlayMounter.forKernel(KernelRelease.parse("6.8.0"))).isInstanceOf(FsopenOverlayMounter.class);
    }
}
