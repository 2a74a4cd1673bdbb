package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a store does, as an operator sees it. */
class StoreReportsTest {
    private static final Duration BOUND = Duration.ofSeconds(20);
    private static final long HELD_MILLIS = 200;

    @TempDir
    Path directory;

    @AutoClose
    private final Metrics metrics = new Metrics();

    @Test
    void the_wait_for_other_transactions_is_told_apart_from_the_transaction() throws Exception {
        try (SqliteSnapshotStore store = open()) {
            CountDownLatch isUnderWay = new CountDownLatch(1);
            CountDownLatch end = new CountDownLatch(1);
            Thread holder = Thread.ofPlatform().start(() -> hold(store, isUnderWay, end));
            isUnderWay.await();
            Thread waiter = Thread.ofPlatform().start(() -> insert(store, 2));
            await().atMost(BOUND).until(() -> store.waitingWriters() == 1);
            Thread.sleep(HELD_MILLIS);
            end.countDown();
            holder.join();
            waiter.join();
        }
        assertThat(metric("metadata_wait_seconds_count{durability=\"ordered\"}"))
                .isEqualTo(2);
        assertThat(metric("metadata_wait_seconds_sum{durability=\"ordered\"}"))
                .isGreaterThanOrEqualTo(HELD_MILLIS / 1e3);
        assertThat(metric("metadata_wait_seconds_bucket{durability=\"ordered\",le=\"0.1\"}"))
                .as("one of the two did not wait")
                .isEqualTo(1);
    }

    @Test
    void a_checkpoint_is_measured() throws Exception {
        try (SqliteSnapshotStore store = open()) {
            for (long id = 1; metric("metadata_checkpoint_seconds_count") == 0 && id < 10_000; id++) {
                insert(store, id);
            }
        }
        assertThat(metric("metadata_checkpoint_seconds_count")).isPositive();
    }

    private SqliteSnapshotStore open() throws Exception {
        return SqliteSnapshotStore.open(directory.resolve("metadata.db"), new StoreReports(metrics));
    }

    private static void hold(SqliteSnapshotStore store, CountDownLatch isUnderWay, CountDownLatch end) {
        try {
            int _ = store.<Integer, InterruptedException>ordered(transaction -> {
                transaction.insert(view(1));
                isUnderWay.countDown();
                end.await();
                return 1;
            });
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private static void insert(SqliteSnapshotStore store, long id) {
        try {
            int _ = store.<Integer, RuntimeException>ordered(transaction -> {
                transaction.insert(view(id));
                return 1;
            });
        } catch (Exception e) {
            throw new IllegalStateException(e);
        }
    }

    private static SnapshotRecord view(long id) {
        return new SnapshotRecord(
                id,
                "default/" + id + "/view",
                RecordKind.VIEW,
                SnapshotRecord.NO_PARENT,
                Instant.EPOCH,
                Instant.EPOCH,
                Map.of(),
                Machine.POOL,
                null,
                null,
                null);
    }

    private double metric(String series) {
        return metrics.prometheusText()
                .lines()
                .filter(line -> line.startsWith("volatile_snapshotter_" + series + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
                .findFirst()
                .orElseThrow(() -> new AssertionError("no " + series));
    }
}
