package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.Map;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;

class RequestsTest {
    @Test
    void an_empty_key_is_an_invalid_argument() {
        assertInvalid(() -> Requests.checkKey("key", ""), "key is empty");
    }

    @Test
    void a_key_of_4096_bytes_is_accepted() {
        assertThatCode(() -> Requests.checkKey("key", "k".repeat(4096))).doesNotThrowAnyException();
    }

    @Test
    void a_key_of_4097_bytes_is_refused_and_only_its_beginning_is_shown() {
        assertInvalid(
                () -> Requests.checkKey("name", "k".repeat(4097)),
                "name beginning with \"" + "k".repeat(64) + "\" has 4097 bytes, more than 4096");
    }

    @Test
    void a_key_is_counted_in_bytes_not_in_characters() {
        assertInvalid(() -> Requests.checkKey("key", "ü".repeat(2049)), "has 4098 bytes");
    }

    @Test
    void a_label_of_4096_bytes_is_accepted() {
        assertThatCode(() -> Requests.checkLabels(Map.of("k".repeat(96), "v".repeat(4000))))
                .doesNotThrowAnyException();
    }

    @Test
    void a_label_of_4097_bytes_is_refused_in_containerds_words() {
        assertInvalid(
                () -> Requests.checkLabels(Map.of("k".repeat(97), "v".repeat(4000))),
                "label key and value length (4097 bytes) greater than maximum size (4096 bytes), key: "
                        + "k".repeat(64));
    }

    private static void assertInvalid(ThrowingCallable check, String message) {
        assertThatExceptionOfType(SnapshotException.class)
                .isThrownBy(check)
                .withMessageContaining(message)
                .extracting(SnapshotException::category)
                .isEqualTo(Category.INVALID_ARGUMENT);
    }
}
