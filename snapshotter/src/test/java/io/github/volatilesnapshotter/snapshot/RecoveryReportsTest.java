package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.snapshot.RecoveryReport.Outcome;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tomlj.Toml;
import org.tomlj.TomlParseResult;

class RecoveryReportsTest {
    @TempDir
    private Path root;

    private final RecoveryReport report = new RecoveryReport();

    private void write(int start) throws Exception {
        Instant at = Instant.parse("2026-11-22T10:11:12.123Z").plusSeconds(start);
        new RecoveryReports(root.resolve("recovery"))
                .write(new RecoveryReports.Start(at, "boot", "7:1", true, 5, 12), report);
    }

    @Test
    void a_report_is_read_back_whatever_a_key_holds() throws Exception {
        String key = "k8s.io/1/\"quoted\" \\ line\nend \u0001 \u00e4 \ud83d\ude00 \ud800";
        report.add(Outcome.POISONED, 17, key, "crash: made before");
        report.count(Outcome.LAYER);
        report.count(Outcome.LAYER);
        write(0);

        TomlParseResult read = Toml.parse(RecoveryReports.newest(root).orElseThrow());

        assertThat(read.errors()).isEmpty();
        assertThat(read.getLong("counts.layer")).isEqualTo(2);
        assertThat(read.getLong("findings")).isEqualTo(1);
        assertThat(read.getBoolean("watched")).isTrue();
        assertThat(read.getArrayOrEmpty("finding").getTable(0).getString("key"))
                .isEqualTo(key.substring(0, key.length() - 1) + '\ufffd');
        assertThat(read.getArrayOrEmpty("finding").getTable(0).getLong("id")).isEqualTo(17);
    }

    @Test
    void each_count_is_a_field_of_the_log() {
        report.count(Outcome.STAYS_POISONED);
        report.count(Outcome.STAYS_POISONED);

        List<Object> fields = report.countsAsFields();

        assertThat(fields).hasSize(2 * Outcome.values().length);
        assertThat(fields.get(fields.indexOf("stays_poisoned") + 1)).isEqualTo(2L);
        assertThat(fields.get(fields.indexOf("lost_layer") + 1)).isEqualTo(0L);
    }

    @Test
    void the_words_of_a_report_are_documented() throws Exception {
        String documentation = Files.readString(Path.of(System.getProperty("project.root"), "docs/recovery-report.md"));

        RecoveryReports.words()
                .forEach((word, meaning) -> assertThat(documentation).contains("| `" + word + "` | " + meaning + " |"));
    }

    @Test
    void lines_are_bounded_and_counts_are_not() throws Exception {
        int found = RecoveryReport.MOST_LINES + 500;
        for (int id = 1; id <= found; id++) {
            report.add(Outcome.THROWN_AWAY, id, "", "a directory without a record");
        }
        write(0);
        TomlParseResult read = Toml.parse(RecoveryReports.newest(root).orElseThrow());
        assertThat(read.getArrayOrEmpty("finding").size()).isEqualTo(RecoveryReport.MOST_LINES);
        assertThat(read.getLong("findings")).isEqualTo(found);
        assertThat(read.getLong("counts.thrown-away")).isEqualTo(found);
    }

    @Test
    void the_newest_reports_are_kept_and_what_a_killed_writer_left_goes() throws Exception {
        assertThat(RecoveryReports.newest(root)).isEmpty();
        Files.createDirectories(root.resolve("recovery"));
        Files.createFile(root.resolve("recovery").resolve("2020.unfinished"));
        for (int start = 0; start < RecoveryReports.MOST_KEPT + 3; start++) {
            write(start);
        }
        try (Stream<Path> files = Files.list(root.resolve("recovery"))) {
            assertThat(files.map(path -> path.getFileName().toString()))
                    .hasSize(RecoveryReports.MOST_KEPT)
                    .doesNotContain("2026-11-22T10-11-12.123Z.toml", "2020.unfinished");
        }
        assertThat(RecoveryReports.newest(root).orElseThrow()).hasFileName("2026-11-22T10-11-30.123Z.toml");
    }
}
