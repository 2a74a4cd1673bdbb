package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;

class CapabilitiesTest {
    @Test
    void the_effective_set_is_one_line_of_status() {
        String status = """
                Name:\tjava
                CapInh:\t0000000000000000
                CapPrm:\t000001ffffffffff
                CapEff:\t0000000000200004
                CapBnd:\t000001ffffffffff
                """;

        assertThat(Capabilities.effective(status)).isEqualTo(1L << 21 | 1L << 2);
    }

    @Test
    void a_status_without_it_is_refused() {
        assertThatIllegalArgumentException().isThrownBy(() -> Capabilities.effective("Name:\tjava\n"));
    }
}
