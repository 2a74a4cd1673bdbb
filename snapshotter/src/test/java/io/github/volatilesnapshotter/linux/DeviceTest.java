package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DeviceTest {
    @Test
    void a_device_is_written_as_it_is_read() {
        assertThat(Device.parse("259:12")).isEqualTo(new Device(259, 12)).hasToString("259:12");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "8", "8:", ":1", "8:1:2", "-8:1", "8:1 ", "8:99999999999"})
    void anything_else_is_refused(String text) {
        assertThatIllegalArgumentException().isThrownBy(() -> Device.parse(text));
    }
}
