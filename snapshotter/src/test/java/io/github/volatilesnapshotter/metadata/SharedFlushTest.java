package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.active;
import static io.github.volatilesnapshotter.metadata.Records.committed;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.metadata.SnapshotStore.Work;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Durable transactions that come while another one is written. */
final class SharedFlushTest implements StoreObserver {
    private static final Duration BOUND = Duration.ofSeconds(20);

    @TempDir
    private Path directory;

    /** How many transactions each flush was for. */
    private final List<Integer> flushed = new ArrayList<>();

    @AutoClose("shutdownNow")
    private final ExecutorService threads = Executors.newCachedThreadPool();

    @AutoClose
    private SqliteSnapshotStore store;

    @BeforeEach
    void open() throws Exception {
        store = SqliteSnapshotStore.open(directory.resolve("metadata.db"), this);
    }

    @Override
    public void flushed(int transactions) {
        synchronized (flushed) {
            flushed.add(transactions);
        }
    }

    private List<Integer> flushed() {
        synchronized (flushed) {
            return List.copyOf(flushed);
        }
    }

    private static Work<Long, RuntimeException> insertion(long id, String key) {
        return transaction -> {
            transaction.insert(committed(id, key, 0));
            return id;
        };
    }

    /** Begins all of them, in this order, while a transaction is under way, and lets that one end when all of them wait. */
    private List<Future<Long>> duringAnother(List<Work<Long, RuntimeException>> works) throws Exception {
        CountDownLatch isUnderWay = new CountDownLatch(1);
        CountDownLatch end = new CountDownLatch(1);
        Future<Integer> another = threads.submit(() -> store.<Integer, InterruptedException>durable(_ -> {
            isUnderWay.countDown();
            end.await();
            return 0;
        }));
        isUnderWay.await();
        List<Future<Long>> answers = new ArrayList<>();
        for (Work<Long, RuntimeException> work : works) {
            answers.add(threads.submit(() -> store.durable(work)));
            await().atMost(BOUND).until(() -> store.waitingWriters() == answers.size());
        }
        end.countDown();
        another.get();
        return answers;
    }

    @Test
    void all_that_wait_for_a_flush_share_the_next_one() throws Exception {
        List<Work<Long, RuntimeException>> works = IntStream.rangeClosed(1, 16)
                .<Work<Long, RuntimeException>>mapToObj(id -> insertion(id, "layer " + id))
                .toList();
        long answered = 0;
        for (Future<Long> answer : duringAnother(works)) {
            answered += answer.get();
        }
        assertThat(answered).isEqualTo(16 * 17 / 2);
        assertThat(flushed()).containsExactly(1, 16);
        assertThat(store.all()).hasSize(16);
        reopen();
        assertThat(store.all()).hasSize(16);
    }

    @Test
    void one_flush_is_for_a_bounded_number() throws Exception {
        int count = DurableTurns.MOST_TOGETHER + 3;
        List<Work<Long, RuntimeException>> works = IntStream.rangeClosed(1, count)
                .<Work<Long, RuntimeException>>mapToObj(id -> insertion(id, "layer " + id))
                .toList();
        for (Future<Long> answer : duringAnother(works)) {
            answer.get();
        }
        assertThat(flushed()).containsExactly(1, DurableTurns.MOST_TOGETHER, 3);
        assertThat(store.all()).hasSize(count);
    }

    @Test
    void each_sees_what_those_before_it_have_made() throws Exception {
        List<Future<Long>> answers = duringAnother(List.of(
                insertion(1, "base"),
                insertion(2, "base"),
                transaction -> {
                    transaction.insert(committed(
                            3, "top", transaction.find("base").orElseThrow().id()));
                    return 3L;
                },
                transaction -> {
                    assertThat(transaction.hasChildren(1)).isTrue();
                    transaction.delete(1);
                    return 4L;
                },
                transaction -> {
                    transaction.replace(active(3, "renamed", 0));
                    transaction.delete(1);
                    return 5L;
                }));
        assertThat(answers.get(0).get()).isEqualTo(1);
        assertFailed(answers.get(1), IllegalArgumentException.class);
        assertThat(answers.get(2).get()).isEqualTo(3);
        assertFailed(answers.get(3), IllegalArgumentException.class);
        assertThat(answers.get(4).get()).isEqualTo(5);
        assertThat(flushed()).containsExactly(1, 3);
        List<SnapshotRecord> records = List.of(active(3, "renamed", 0));
        assertThat(store.all()).isEqualTo(records);
        reopen();
        assertThat(store.all()).isEqualTo(records);
    }

    @Test
    void one_that_throws_leaves_nothing_and_takes_nobody_along() throws Exception {
        IllegalStateException thrown = new IllegalStateException("of the work's own");
        List<Future<Long>> answers = duringAnother(List.of(
                transaction -> {
                    transaction.insert(committed(1, "never", 0));
                    throw thrown;
                },
                transaction -> {
                    assertThat(transaction.find("never")).isEmpty();
                    transaction.insert(committed(2, "layer", 0));
                    return 2L;
                }));
        assertThatThrownBy(() -> answers.get(0).get())
                .isInstanceOf(ExecutionException.class)
                .cause()
                .isSameAs(thrown);
        assertThat(answers.get(1).get()).isEqualTo(2);
        assertThat(store.all()).containsExactly(committed(2, "layer", 0));
        assertThat(flushed()).containsExactly(1, 1);
    }

    @Test
    void one_that_is_interrupted_while_it_waits_is_never_written() throws Exception {
        CountDownLatch isUnderWay = new CountDownLatch(1);
        CountDownLatch end = new CountDownLatch(1);
        Future<Integer> another = threads.submit(() -> store.<Integer, InterruptedException>durable(_ -> {
            isUnderWay.countDown();
            end.await();
            return 0;
        }));
        isUnderWay.await();
        Future<Long> gone = threads.submit(() -> store.durable(insertion(1, "never")));
        await().atMost(BOUND).until(() -> store.waitingWriters() == 1);
        Future<Long> next = threads.submit(() -> store.durable(insertion(2, "layer")));
        await().atMost(BOUND).until(() -> store.waitingWriters() == 2);
        assertThat(gone.cancel(true)).isTrue();
        await().atMost(BOUND).until(() -> store.waitingWriters() == 1);
        end.countDown();
        another.get();
        assertThat(next.get()).isEqualTo(2);
        assertThat(store.all()).containsExactly(committed(2, "layer", 0));
    }

    @Test
    void those_that_wait_when_the_store_is_closed_are_refused() throws Exception {
        CountDownLatch isUnderWay = new CountDownLatch(1);
        CountDownLatch end = new CountDownLatch(1);
        Future<Integer> another = threads.submit(() -> store.<Integer, InterruptedException>durable(_ -> {
            isUnderWay.countDown();
            end.await();
            return 0;
        }));
        isUnderWay.await();
        Future<?> closing = threads.submit(() -> {
            store.close();
            return 0;
        });
        await().atMost(BOUND).until(() -> store.waitingWriters() == 1);
        List<Future<Long>> answers = new ArrayList<>();
        for (int id = 1; id <= 3; id++) {
            Work<Long, RuntimeException> work = insertion(id, "layer " + id);
            answers.add(threads.submit(() -> store.durable(work)));
        }
        await().atMost(BOUND).until(() -> store.waitingWriters() == 4);
        end.countDown();
        another.get();
        closing.get();
        // Whoever had its turn before the one that closes was written, and the others were not.
        reopen();
        for (int id = 1; id <= 3; id++) {
            boolean isWritten = store.find(id).isPresent();
            if (isWritten) {
                assertThat(answers.get(id - 1).get()).isEqualTo(id);
            } else {
                assertFailed(answers.get(id - 1), MetadataException.class);
            }
        }
    }

    private void reopen() throws MetadataException {
        store.close();
        store = SqliteSnapshotStore.open(directory.resolve("metadata.db"), this);
    }

    private static void assertFailed(Future<?> answer, Class<? extends Exception> type) {
        assertThatThrownBy(answer::get).isInstanceOf(ExecutionException.class).hasCauseInstanceOf(type);
    }
}
