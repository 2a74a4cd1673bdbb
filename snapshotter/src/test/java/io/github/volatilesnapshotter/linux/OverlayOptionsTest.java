package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;

class OverlayOptionsTest {
    private static final String DESCRIPTOR = "/proc/self/fd/123";
    private static final String WITHOUT_LOWER = "index=off,redirect_dir=off,metacopy=off,lowerdir=";

    @Test
    void all_options_are_in_the_string() throws SyscallException {
        assertThat(OverlayOptions.inOneString(List.of("/l2", "/l1"), "/u", "/w", true))
                .isEqualTo(CString.of("volatile,index=off,redirect_dir=off,metacopy=off,"
                        + "upperdir=/u,workdir=/w,lowerdir=/l2:/l1"));
    }

    @Test
    void an_overlay_without_upper_has_no_work_either() throws SyscallException {
        assertThat(OverlayOptions.inOneString(List.of("/l2", "/l1"), null, null, false))
                .isEqualTo(CString.of(WITHOUT_LOWER + "/l2:/l1"));
    }

    @Test
    void two_hundred_descriptors_fit() throws SyscallException {
        assertThat(OverlayOptions.inOneString(Collections.nCopies(200, DESCRIPTOR), DESCRIPTOR, DESCRIPTOR, true)
                        .lengthBytes())
                .isLessThanOrEqualTo(OverlayOptions.LONGEST_BYTES);
    }

    @Test
    void the_last_byte_of_the_page_belongs_to_the_kernel() throws SyscallException {
        String longest = "x".repeat(OverlayOptions.LONGEST_BYTES - WITHOUT_LOWER.length());

        assertThat(OverlayOptions.inOneString(List.of(longest), null, null, false)
                        .lengthBytes())
                .isEqualTo(OverlayOptions.LONGEST_BYTES);
        assertThatThrownBy(() -> OverlayOptions.inOneString(List.of(longest + "x"), null, null, false))
                .isInstanceOfSatisfying(
                        SyscallException.class,
                        failure -> assertThat(failure.errno()).isEqualTo(Errno.E2BIG))
                .hasMessageContaining("1 lower layers")
                .hasMessageContaining("4096 bytes");
    }

    @Test
    void layers_without_a_lower_one_are_refused() {
        assertThatIllegalArgumentException().isThrownBy(() -> new OverlayLayers(List.of(), null, null));
    }

    @Test
    void an_upper_without_work_is_refused() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> new OverlayLayers(List.of(Path.of("/l")), Path.of("/u"), null));
    }
}
