package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import io.github.volatilesnapshotter.metadata.Upper;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class PoisonerTest {
    private final CountDownLatch release = new CountDownLatch(1);
    private final List<Poisoning> told = new CopyOnWriteArrayList<>();
    private final List<Boolean> wereRecorded = new CopyOnWriteArrayList<>();

    @TempDir
    private Path directory;

    private SqliteSnapshotStore store;
    private Poisoner poisoner;

    @BeforeEach
    void open() throws Exception {
        store = SqliteSnapshotStore.open(directory.resolve("metadata.db"));
        store.ordered(transaction -> {
            transaction.insert(active(1));
            transaction.insert(active(2));
            return null;
        });
        PoisonReports reports = new PoisonReports(new Metrics());
        reports.addListener(poisoning -> {
            wereRecorded.add(snapshot(poisoning.clientKey()).poison() != null);
            told.add(poisoning);
        });
        poisoner = new Poisoner(store, reports::tell);
    }

    @AfterEach
    void close() throws Exception {
        release.countDown();
        poisoner.close();
        store.close();
    }

    @Test
    void poison_is_recorded_before_anybody_is_told() {
        assertThat(poisoner.poison(List.of(lostWrite(1), lostWrite(2)))).isTrue();

        // Told a moment after it was recorded, on another thread.
        await().untilAsserted(() -> assertThat(told).hasSize(2));
        assertThat(wereRecorded).containsOnly(true);
        assertThat(poisoner.poison(List.of(lostWrite(1)))).isTrue();
        poisoner.close();
        assertThat(told).hasSize(2);
    }

    @Test
    void while_the_records_disk_hangs_poison_holds_and_nobody_waits_for_it_or_is_told() throws Exception {
        CompletableFuture<Void> hanging = hangingWriter();

        long begunNanos = System.nanoTime();
        assertThat(poisoner.poison(List.of(lostWrite(1)))).isFalse();
        // Known already: not even the bounded wait.
        for (int looks = 0; looks < 100; looks++) {
            assertThat(poisoner.poison(List.of(lostWrite(1)))).isFalse();
        }
        assertThat(System.nanoTime() - begunNanos)
                .isLessThan(TimeUnit.MILLISECONDS.toNanos(5 * Poisoner.RECORD_WAIT_MILLIS));

        assertThat(poisoner.of(snapshot("1"))).isPresent();
        assertThat(snapshot("1").poison()).isNull();
        assertThat(told).isEmpty();

        release.countDown();
        hanging.get(10, TimeUnit.SECONDS);
        await().untilAsserted(() -> assertThat(told).hasSize(1));
        assertThat(wereRecorded).containsExactly(true);
        assertThat(poisoner.poison(List.of(lostWrite(2)))).isTrue();
        await().untilAsserted(() -> assertThat(told).hasSize(2));
    }

    @Test
    void a_poison_whose_files_are_named_at_once_is_told_all_the_same() {
        List<Condemned> condemned = new CopyOnWriteArrayList<>();
        try (Poisoner naming = new Poisoner(store, _ -> {});
                Poisoner interrupted =
                        new Poisoner(afterItsFirstRecord(() -> naming.nameFiles(List.of("file"))), condemned::addAll)) {
            assertThat(interrupted.poison(List.of(lostWrite(1)))).isTrue();

            await().untilAsserted(() -> assertThat(condemned).hasSize(1));
        }
        assertThat(snapshot("1").poison())
                .isNotNull()
                .satisfies(poison -> assertThat(poison.files()).containsExactly("file"));
    }

    @Test
    void what_is_found_while_a_Commit_is_on_its_way_to_disk_holds_only_if_that_fails() throws Exception {
        poisoner.beginCommit(snapshot("1"));
        poisoner.beginCommit(snapshot("2"));

        assertThat(poisoner.condemn(List.of(lostWrite(1), lostWrite(2)))).isTrue();
        assertThat(poisoner.of(snapshot("1"))).isEmpty();
        assertThat(poisoner.of(snapshot("2"))).isEmpty();

        becomesLayer(1);
        poisoner.endCommit(1, true);
        assertThat(poisoner.of(snapshot("1"))).isEmpty();
        poisoner.endCommit(2, false);
        assertThat(poisoner.of(snapshot("2"))).isPresent();
        await().untilAsserted(
                        () -> assertThat(told).extracting(Poisoning::clientKey).containsExactly("2"));
    }

    @Test
    void a_Commit_is_refused_for_a_poison_that_is_not_recorded_yet() throws Exception {
        CompletableFuture<Void> hanging = hangingWriter();
        assertThat(poisoner.condemn(List.of(lostWrite(1)))).isTrue();

        assertThatExceptionOfType(SnapshotException.class)
                .isThrownBy(() -> poisoner.beginCommit(snapshot("1")))
                .withMessageContaining("is poisoned");
        poisoner.endCommit(1, false);
        assertThat(poisoner.of(snapshot("1"))).isPresent();

        release.countDown();
        hanging.get(10, TimeUnit.SECONDS);
    }

    @Test
    void a_layer_is_never_poisoned() throws Exception {
        becomesLayer(1);

        assertThat(poisoner.condemn(List.of(lostWrite(1)))).isFalse();
        assertThat(poisoner.of(snapshot("1"))).isEmpty();
    }

    /** The store, in which something else happens between the record and what its writer does next. */
    private SnapshotStore afterItsFirstRecord(Runnable other) {
        AtomicBoolean isFirst = new AtomicBoolean(true);
        return (SnapshotStore) Proxy.newProxyInstance(
                SnapshotStore.class.getClassLoader(), new Class<?>[] {SnapshotStore.class}, (_, method, arguments) -> {
                    Object result = method.invoke(store, arguments);
                    if (method.getName().equals("orderedNow") && isFirst.getAndSet(false)) {
                        other.run();
                    }
                    return result;
                });
    }

    private void becomesLayer(long id) throws MetadataException {
        store.durable(transaction -> {
            transaction.replace(active(id).withKind(RecordKind.COMMITTED).withUpper(null));
            return null;
        });
    }

    private CompletableFuture<Void> hangingWriter() throws InterruptedException {
        CountDownLatch isHanging = new CountDownLatch(1);
        CompletableFuture<Void> writing = CompletableFuture.runAsync(() -> {
            try {
                store.ordered(_ -> {
                    isHanging.countDown();
                    release.await();
                    return null;
                });
            } catch (MetadataException | InterruptedException e) {
                throw new CompletionException(e);
            }
        });
        isHanging.await();
        return writing;
    }

    private SnapshotRecord snapshot(String clientKey) {
        return store.find("default/1/" + clientKey).orElseThrow();
    }

    private static Poisoner.Verdict lostWrite(long id) {
        return new Poisoner.Verdict(id, PoisonReason.WRITEBACK_ERROR, Errno.EIO, "7:1");
    }

    private static SnapshotRecord active(long id) {
        return new SnapshotRecord(
                id,
                "default/1/" + id,
                RecordKind.ACTIVE,
                SnapshotRecord.NO_PARENT,
                Instant.EPOCH,
                Instant.EPOCH,
                Map.of(),
                "main",
                new Upper(Role.VOLATILE, "main", "boot", "7:1", 0),
                null,
                null);
    }
}
