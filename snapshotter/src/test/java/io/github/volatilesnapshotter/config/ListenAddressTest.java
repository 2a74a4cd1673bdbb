package io.github.volatilesnapshotter.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ListenAddressTest {
    @ParameterizedTest
    @ValueSource(strings = {"127.0.0.1:9090", "localhost:0", "[::1]:65535"})
    void an_address_is_read_and_written_again(String text) {
        assertThat(ListenAddress.parse(text)).hasToString(text);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "9090", ":9090", "host", "host:", "host:65536", "::1:9090", "host:-1", "a b:1"})
    void anything_else_is_refused_with_an_example(String text) {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> ListenAddress.parse(text))
                .withMessageContaining("for example 127.0.0.1:9090");
    }

    @Test
    void brackets_are_no_part_of_the_host() {
        assertThat(ListenAddress.parse("[::1]:9090").resolve().getAddress().getHostAddress())
                .isEqualTo("0:0:0:0:0:0:0:1");
    }
}
