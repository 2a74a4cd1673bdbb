package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Instant;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import org.junit.jupiter.api.Test;

class JsonLinesTest {
    private final JsonLines lines = new JsonLines();

    @Test
    void a_line_has_time_level_logger_message_and_the_calls_fields() {
        assertThat(format("poisoned", "key", "ns/1/a", "generation", 3L, "killed", true, "errno", null))
                .isEqualTo(
                        "{\"time\":\"2026-01-02T03:04:05.000000006Z\",\"level\":\"warning\",\"logger\":\"test\","
                                + "\"message\":\"poisoned\",\"key\":\"ns/1/a\",\"generation\":3,\"killed\":true,\"errno\":null}\n");
    }

    @Test
    void a_message_with_placeholders_is_filled_in() {
        assertThat(format("device {0} failed: {1}", "7:0", "EIO")).contains("\"message\":\"device 7:0 failed: EIO\"}");
    }

    @Test
    void whatever_a_key_holds_stays_one_line_of_json() {
        assertThat(format("m", "key", "a\"b\\c\nd\te\u0001ü\uD83D\uDE00\uD800"))
                .endsWith("\"key\":\"a\\\"b\\\\c\\nd\\te\\u0001ü\uD83D\uDE00\\ud800\"}\n")
                .containsOnlyOnce("\n");
    }

    @Test
    void a_failure_brings_its_stack_trace() {
        assertThat(format("m", "failure", new IllegalStateException("broken")))
                .contains("\"failure\":\"java.lang.IllegalStateException: broken\"")
                .contains("\"stack\":\"java.lang.IllegalStateException: broken\\n\\tat ");
    }

    @Test
    void a_thrown_failure_is_written_too() {
        LogRecord record = record("m");
        record.setThrown(new IllegalStateException("broken"));

        assertThat(lines.format(record)).contains("\"failure\":\"java.lang.IllegalStateException: broken\"");
    }

    private String format(String message, Object... parameters) {
        LogRecord record = record(message);
        record.setParameters(parameters);
        return lines.format(record);
    }

    private static LogRecord record(String message) {
        LogRecord record = new LogRecord(Level.WARNING, message);
        record.setLoggerName("test");
        record.setInstant(Instant.parse("2026-01-02T03:04:05.000000006Z"));
        return record;
    }
}
