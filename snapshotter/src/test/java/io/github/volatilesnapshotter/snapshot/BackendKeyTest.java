package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class BackendKeyTest {
    @Test
    void only_the_first_two_slashes_divide() {
        assertThat(BackendKey.parse("k8s.io/42//var/lib/some volume/1"))
                .isEqualTo(new BackendKey("k8s.io", "/var/lib/some volume/1"));
    }

    @Test
    void an_extract_key_keeps_its_space_and_digest() {
        assertThat(BackendKey.parse("default/7/extract-812295082-7xm9 sha256:59b1")
                        .clientKey())
                .isEqualTo("extract-812295082-7xm9 sha256:59b1");
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain", "a/b", "a/b/c", "a//c", "/", "//", "ns/-1/x"})
    void a_key_of_another_form_is_all_client_key(String key) {
        assertThat(BackendKey.parse(key)).isEqualTo(new BackendKey("", key));
    }
}
