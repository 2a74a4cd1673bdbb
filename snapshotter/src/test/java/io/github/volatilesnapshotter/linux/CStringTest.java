package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import org.junit.jupiter.api.Test;

class CStringTest {
    @Test
    void a_name_that_is_not_utf8_keeps_its_bytes() {
        byte[] latin1 = {'n', (byte) 0xfc, 'l'};
        try (Arena arena = Arena.ofConfined()) {
            var segment = CString.ofBytes(latin1).in(arena);

            assertThat(segment.toArray(ValueLayout.JAVA_BYTE)).containsExactly('n', 0xfc, 'l', 0);
            assertThat(CString.read(segment, 1)).isEqualTo(CString.ofBytes(new byte[] {(byte) 0xfc, 'l'}));
        }
        assertThat(CString.ofBytes(latin1)).hasToString("0x6efc6c");
    }

    @Test
    void a_name_in_utf8_is_shown_as_text() {
        assertThat(CString.of("größe")).hasToString("\"größe\"");
    }

    @Test
    void a_name_that_would_break_a_log_line_is_shown_as_bytes() {
        assertThat(CString.of("a\nb")).hasToString("0x610a62");
    }

    @Test
    void a_nul_is_refused() {
        assertThatIllegalArgumentException().isThrownBy(() -> CString.of("lower\0upper"));
    }
}
