package io.github.volatilesnapshotter.metrics;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.metrics.Metrics.CleanupOutcome;
import io.github.volatilesnapshotter.metrics.Metrics.Durability;
import io.github.volatilesnapshotter.metrics.Metrics.KillOutcome;
import io.github.volatilesnapshotter.metrics.Metrics.RebuildOutcome;
import io.github.volatilesnapshotter.metrics.Metrics.Role;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class MetricsTest {
    private final Metrics metrics = new Metrics();

    @AfterEach
    void close() {
        metrics.close();
    }

    @Test
    void every_metric_has_its_name_its_labels_and_its_description_in_the_scrape() {
        touchAll();

        String text = metrics.prometheusText();

        for (Metric metric : Metric.values()) {
            assertThat(text).contains("# HELP " + metric.prometheusName() + " " + metric.description);
            String series = metric.prometheusName() + (metric.type == Metric.Type.TIMER ? "_count" : "");
            String labels =
                    metric.labels.stream().map(label -> label + "=\"[^\"]+\"").collect(Collectors.joining(","));
            assertThat(text).containsPattern("(?m)^" + series + (labels.isEmpty() ? "" : "\\{" + labels + "}") + " ");
        }
    }

    @Test
    void the_scrape_has_no_metric_beside_those_of_the_list() {
        touchAll();

        Set<String> families = Pattern.compile("(?m)^# TYPE (\\S+)")
                .matcher(metrics.prometheusText())
                .results()
                .map(result -> result.group(1))
                // Micrometer adds the longest recent duration of each timer.
                .filter(family -> !family.endsWith("_seconds_max"))
                .collect(Collectors.toSet());

        assertThat(families)
                .containsExactlyInAnyOrderElementsOf(Arrays.stream(Metric.values())
                        .map(Metric::prometheusName)
                        .toList());
    }

    @Test
    void the_documentation_lists_every_metric_with_its_labels_and_no_other() throws IOException {
        List<String> documented = Pattern.compile("(?m)^\\| `(\\w+)` \\| ([^|]*) \\|")
                .matcher(Files.readString(Path.of(System.getProperty("project.root"), "docs/metrics.md")))
                .results()
                .map((MatchResult row) -> row.group(1) + " " + row.group(2).replace("`", ""))
                .toList();

        assertThat(documented)
                .containsExactlyInAnyOrderElementsOf(Arrays.stream(Metric.values())
                        .map(metric -> metric.prometheusName() + " "
                                + (metric.labels.isEmpty() ? "-" : String.join(", ", metric.labels)))
                        .toList());
    }

    @Test
    void a_counter_counts() {
        metrics.poisoned("writeback_error");
        metrics.poisoned("writeback_error");

        assertThat(metrics.prometheusText())
                .contains("volatile_snapshotter_poisoned_total{reason=\"writeback_error\"} 2.0");
    }

    @Test
    void an_announced_series_is_there_before_its_first_event() {
        metrics.announcePoison("crash");
        metrics.announceRejections("read");
        metrics.announceFailures("Stat");

        assertThat(metrics.prometheusText())
                .contains("volatile_snapshotter_poisoned_total{reason=\"crash\"} 0.0")
                .contains("volatile_snapshotter_rpc_rejected_total{lane=\"read\"} 0.0")
                .contains("volatile_snapshotter_rpc_unexpected_total{method=\"Stat\"} 0.0");
    }

    @Test
    void a_duration_falls_into_its_bucket() {
        metrics.rpcAnswered("Stat", "OK", 300_000);

        assertThat(metrics.prometheusText())
                .contains("volatile_snapshotter_rpc_seconds_bucket{method=\"Stat\",status=\"OK\",le=\"2.5E-4\"} 0")
                .contains("volatile_snapshotter_rpc_seconds_bucket{method=\"Stat\",status=\"OK\",le=\"5.0E-4\"} 1");
    }

    @Test
    void a_gauge_shows_the_value_of_the_moment_even_after_a_collection_of_garbage() {
        int[] length = {3};
        metrics.queueLength("test", () -> length[0]);
        System.gc();
        length[0] = 4;

        assertThat(metrics.prometheusText()).contains("volatile_snapshotter_queue_length{queue=\"test\"} 4.0");
    }

    @Test
    void an_endless_number_of_label_values_makes_a_bounded_number_of_series() {
        for (int i = 0; i < 1_000; i++) {
            metrics.poisoned("reason" + i);
        }

        String text = metrics.prometheusText();

        assertThat(text.lines().filter(line -> line.startsWith("volatile_snapshotter_poisoned_total{")))
                .hasSizeLessThanOrEqualTo(Metrics.MAXIMUM_LABEL_VALUES + 1);
        assertThat(text)
                .contains("volatile_snapshotter_poisoned_total{reason=\"other\"} "
                        + (double) (1_000 - Metrics.MAXIMUM_LABEL_VALUES));
    }

    private void touchAll() {
        metrics.rpcAnswered("Stat", "OK", 1);
        metrics.callRejected("read");
        metrics.callAbandoned("Stat");
        metrics.heldThreads("read", () -> 0);
        metrics.unexpectedFailure("Stat");
        metrics.peerRejected();
        metrics.queueLength("test", () -> 0);
        metrics.snapshots(Role.VIEW, () -> 0);
        metrics.poisoned("test");
        metrics.unseenErrorCleared();
        metrics.trashWaiting(() -> 0);
        metrics.trashFailing(() -> 0);
        metrics.cleanedUp(CleanupOutcome.DONE);
        metrics.lostLayers(() -> 0);
        metrics.fileSystemRoom(() -> 0, () -> 0);
        metrics.displacedOverlays(() -> 0);
        metrics.commitTook(1);
        metrics.wroteEarly(1, 1, true);
        metrics.openUppers("overlay", () -> 0);
        metrics.openUppersBound(() -> 0);
        metrics.probeTook(1);
        metrics.transactionTook(Durability.DURABLE, 1, 1);
        metrics.checkpointTook(1);
        metrics.metadataWritable(() -> true);
        metrics.metadataRebuilt(RebuildOutcome.DONE);
        metrics.lockTimedOut();
        metrics.kill(KillOutcome.SENT);
        metrics.superblockState("7:0", "healthy", () -> true);
        metrics.errorTrace(() -> true);
        metrics.openEpoch(() -> 0);
        metrics.logLinesDropped(() -> 0);
        metrics.poisonUnrecorded(() -> 0);
        metrics.lastLook(() -> 0);
    }
}
