package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.SOME_TIME;
import static io.github.volatilesnapshotter.metadata.Records.active;
import static io.github.volatilesnapshotter.metadata.Records.committed;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.metadata.SnapshotStore.Transaction;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What every store of records does, whatever it keeps them in. */
abstract class SnapshotStoreKit {
    private SnapshotStore store;

    /** An empty store; the kit closes it. */
    abstract SnapshotStore newStore() throws Exception;

    @BeforeEach
    void openStore() throws Exception {
        store = newStore();
    }

    @AfterEach
    void closeStore() throws Exception {
        store.close();
    }

    private void write(Consumer<Transaction> work) throws MetadataException {
        store.ordered(transaction -> {
            work.accept(transaction);
            return null;
        });
    }

    @Test
    void a_new_store_is_empty() {
        assertThat(store.all()).isEmpty();
        assertThat(store.find("a")).isEmpty();
        assertThat(store.find(1)).isEmpty();
        assertThat(store.keyOf(1)).isEmpty();
        assertThat(store.chain(1)).isEmpty();
        assertThat(store.count(any -> true)).isZero();
    }

    @Test
    void an_inserted_record_is_found_by_key_and_by_id_exactly_as_it_was_given() throws Exception {
        SnapshotRecord record = active(7, "k8s.io/12/a b/c", 0)
                .withCreatedAt(SOME_TIME.plusNanos(1))
                .withLabels(Map.of("containerd.io/snapshot.ref", "sha256:1", "empty", "", "two\nlines \\", "牛\n"))
                .withPoison(new Poison("writeback", "EIO", "8:1", SOME_TIME.minusNanos(3), List.of("etc/a\nb", "")));
        write(transaction -> transaction.insert(record));
        assertThat(store.find("k8s.io/12/a b/c")).contains(record);
        assertThat(store.find(7)).contains(record);
        assertThat(store.keyOf(7)).contains("k8s.io/12/a b/c");
        assertThat(store.all()).containsExactly(record);
    }

    @Test
    void several_keys_are_looked_up_at_one_moment() throws Exception {
        write(transaction -> transaction.insert(active(1, "active", 0)));
        AtomicBoolean isOver = new AtomicBoolean();
        CompletableFuture<Integer> seen = CompletableFuture.supplyAsync(() -> {
            int wrong = 0;
            while (!isOver.get()) {
                wrong += store.find(List.of("active", "layer", "nobody")).size() == 1 ? 0 : 1;
            }
            return wrong;
        });
        for (int round = 0; round < 500; round++) {
            write(transaction -> transaction.replace(committed(1, "layer", 0)));
            write(transaction -> transaction.replace(active(1, "active", 0)));
        }
        isOver.set(true);
        assertThat(seen.get(10, TimeUnit.SECONDS)).isZero();
        assertThat(store.find(List.of("active", "", "active"))).containsOnlyKeys("active");
    }

    @Test
    void what_the_work_returns_is_returned() throws Exception {
        assertThat(store.<String, RuntimeException>ordered(transaction -> "ordered"))
                .isEqualTo("ordered");
        assertThat(store.<String, RuntimeException>durable(transaction -> "durable"))
                .isEqualTo("durable");
    }

    @Test
    void within_a_transaction_its_own_changes_are_seen() throws Exception {
        write(transaction -> transaction.insert(committed(1, "base", 0)));
        write(transaction -> {
            assertThat(transaction.hasChildren(1)).isFalse();
            transaction.insert(active(2, "upper", 1));
            assertThat(transaction.find("upper")).isPresent();
            assertThat(transaction.find(2)).isPresent();
            assertThat(transaction.hasChildren(1)).isTrue();
            transaction.replace(committed(2, "layer", 1));
            assertThat(transaction.find("upper")).isEmpty();
            assertThat(transaction.find("layer")).contains(committed(2, "layer", 1));
            transaction.delete(2);
            assertThat(transaction.find("layer")).isEmpty();
            assertThat(transaction.find(2)).isEmpty();
            assertThat(transaction.hasChildren(1)).isFalse();
        });
        assertThat(store.all()).containsExactly(committed(1, "base", 0));
    }

    @Test
    void readers_see_nothing_of_a_transaction_before_it_is_over() throws Exception {
        write(transaction -> {
            transaction.insert(active(1, "a", 0));
            assertThat(store.find("a")).isEmpty();
            assertThat(store.all()).isEmpty();
        });
        assertThat(store.find("a")).isPresent();
    }

    @Test
    void work_that_throws_leaves_everything_as_it_was() throws Exception {
        write(transaction -> transaction.insert(committed(1, "base", 0)));
        assertThatThrownBy(() -> store.durable(transaction -> {
                    transaction.insert(active(2, "upper", 1));
                    transaction.replace(committed(1, "renamed", 0));
                    throw new IOException("rename failed");
                }))
                .isInstanceOf(IOException.class)
                .hasMessage("rename failed");
        assertThat(store.all()).containsExactly(committed(1, "base", 0));
        write(transaction -> transaction.insert(active(2, "upper", 1)));
        assertThat(store.all()).hasSize(2);
    }

    @Test
    void a_commit_changes_the_key_and_keeps_the_id() throws Exception {
        write(transaction -> transaction.insert(active(1, "active", 0)));
        store.durable(transaction -> {
            transaction.replace(committed(1, "layer", 0));
            return null;
        });
        assertThat(store.find("active")).isEmpty();
        assertThat(store.find("layer")).contains(committed(1, "layer", 0));
        assertThat(store.keyOf(1)).contains("layer");
    }

    @Test
    void a_key_is_free_again_after_its_record_is_gone() throws Exception {
        write(transaction -> transaction.insert(active(1, "a", 0)));
        write(transaction -> {
            transaction.delete(1);
            transaction.insert(active(2, "a", 0));
        });
        assertThat(store.find("a")).map(SnapshotRecord::id).contains(2L);
        assertThat(store.find(1)).isEmpty();
    }

    @Test
    void keys_can_be_passed_on_from_record_to_record_within_a_transaction() throws Exception {
        write(transaction -> {
            transaction.insert(active(1, "a", 0));
            transaction.insert(active(2, "b", 0));
        });
        write(transaction -> {
            transaction.replace(active(1, "c", 0));
            transaction.replace(active(2, "a", 0));
            transaction.replace(active(1, "b", 0));
        });
        assertThat(store.all()).containsExactly(active(1, "b", 0), active(2, "a", 0));
    }

    @Test
    void a_chain_goes_from_the_snapshot_down_to_the_base() throws Exception {
        write(transaction -> {
            transaction.insert(committed(5, "base", 0));
            transaction.insert(committed(3, "middle", 5));
            transaction.insert(active(9, "top", 3));
        });
        assertThat(store.chain(9)).extracting(SnapshotRecord::key).containsExactly("top", "middle", "base");
        assertThat(store.chain(5)).extracting(SnapshotRecord::key).containsExactly("base");
        assertThat(store.all()).extracting(SnapshotRecord::id).containsExactly(3L, 5L, 9L);
    }

    @Test
    void a_rebase_gives_an_active_a_parent() throws Exception {
        write(transaction -> transaction.insert(active(1, "a", 0)));
        write(transaction -> transaction.insert(committed(2, "base", 0)));
        write(transaction -> transaction.replace(committed(1, "layer", 2)));
        assertThat(store.chain(1)).extracting(SnapshotRecord::key).containsExactly("layer", "base");
        write(transaction -> assertThat(transaction.hasChildren(2)).isTrue());
    }

    @Test
    void one_poison_is_recorded_of_many_and_of_none_else() throws Exception {
        Poison poison = new Poison("writeback", "EIO", "8:1", SOME_TIME.minusNanos(3), List.of("etc/a\nb", ""));
        write(transaction -> {
            transaction.insert(active(1, "a", 0));
            transaction.insert(active(2, "b", 0));
        });
        write(transaction -> {
            transaction.insert(active(3, "c", 0));
            transaction.poison(List.of(1L, 3L), poison);
            transaction.poison(List.of(), poison);
            assertThat(transaction.find("c")).contains(active(3, "c", 0).withPoison(poison));
        });
        assertThat(store.all())
                .containsExactly(
                        active(1, "a", 0).withPoison(poison),
                        active(2, "b", 0),
                        active(3, "c", 0).withPoison(poison));
        refused(transaction -> transaction.poison(List.of(1L, 4L), poison), "there is no snapshot 4");
    }

    @Test
    void all_is_a_copy_that_later_writes_do_not_touch() throws Exception {
        write(transaction -> transaction.insert(active(1, "a", 0)));
        List<SnapshotRecord> before = store.all();
        write(transaction -> transaction.delete(1));
        assertThat(before).containsExactly(active(1, "a", 0));
    }

    @Test
    void count_tells_how_many_records_a_predicate_selects() throws Exception {
        write(transaction -> {
            transaction.insert(committed(1, "base", 0));
            transaction.insert(active(2, "a", 1));
            transaction.insert(active(3, "b", 1));
        });
        assertThat(store.count(record -> record.kind() == RecordKind.ACTIVE)).isEqualTo(2);
    }

    @Test
    void what_would_break_the_records_is_a_programming_error() throws Exception {
        write(transaction -> {
            transaction.insert(committed(1, "base", 0));
            transaction.insert(committed(2, "middle", 1));
            transaction.insert(active(3, "top", 2));
        });
        List<SnapshotRecord> before = store.all();
        refused(transaction -> transaction.insert(active(1, "new", 0)), "the id is taken");
        refused(transaction -> transaction.insert(active(4, "top", 0)), "the key is taken");
        refused(transaction -> transaction.insert(active(4, "new", 99)), "there is no parent 99");
        refused(transaction -> transaction.insert(active(4, "", 0)), "a key is not empty");
        refused(transaction -> transaction.insert(active(0, "new", 0)), "an id is above 0");
        refused(
                transaction -> transaction.insert(active(4, "new", 0).withKind(RecordKind.VIEW)),
                "only an active has an upper");
        refused(transaction -> transaction.replace(active(4, "new", 0)), "there is no snapshot 4");
        refused(transaction -> transaction.replace(active(3, "base", 2)), "the key is taken");
        refused(transaction -> transaction.replace(active(3, "top", 99)), "there is no parent 99");
        refused(transaction -> transaction.replace(committed(1, "base", 1)), "it would be its own ancestor");
        refused(transaction -> transaction.replace(committed(1, "base", 2)), "it would be its own ancestor");
        refused(transaction -> transaction.delete(1), "others stand on it");
        refused(transaction -> transaction.delete(4), "there is no snapshot 4");
        assertThat(store.all()).isEqualTo(before);
    }

    private void refused(Consumer<Transaction> work, String why) {
        assertThatThrownBy(() -> write(work))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageEndingWith(why);
    }

    @Test
    void a_transaction_within_a_transaction_is_a_programming_error() {
        assertThatThrownBy(() -> store.ordered(outer -> store.ordered(inner -> "")))
                .isInstanceOf(IllegalStateException.class);
    }

    @Test
    void a_transaction_cannot_be_used_after_it_is_over() throws Exception {
        Transaction kept = store.<Transaction, RuntimeException>ordered(transaction -> transaction);
        assertThatThrownBy(() -> kept.insert(active(1, "a", 0))).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> kept.find("a")).isInstanceOf(IllegalStateException.class);
    }

    @ParameterizedTest
    @ValueSource(strings = {"/", "k8s.io/1/", " ", "'; DROP TABLE snapshot; --", "牛\uD83D\uDC02", "a\u0000b", "%?#&="})
    void a_key_may_hold_any_characters(String key) throws Exception {
        write(transaction -> transaction.insert(active(1, key, 0)));
        assertThat(store.find(key)).contains(active(1, key, 0));
    }

    @Test
    void a_key_may_be_4_KiB_long_and_labels_too() throws Exception {
        String text = "x".repeat(4_096);
        SnapshotRecord record = active(1, text, 0).withLabels(Map.of(text, text, "other", text));
        write(transaction -> transaction.insert(record));
        assertThat(store.find(text)).contains(record);
    }

    @Test
    void an_id_is_never_given_twice_whoever_asks() throws Exception {
        Set<Long> given = ConcurrentHashMap.newKeySet();
        inParallel(8, caller -> {
            for (int i = 0; i < 2_000; i++) {
                assertThat(given.add(store.newId())).isTrue();
            }
        });
        assertThat(given).hasSize(16_000).doesNotContain(0L);
    }

    @Test
    void an_id_can_be_had_within_a_transaction_also_when_none_are_reserved() throws Exception {
        store.raiseIdsAbove(1_000_000);
        long id = store.<Long, MetadataException>ordered(transaction -> store.newId());
        assertThat(id).isEqualTo(1_000_001);
    }

    @Test
    void ids_can_be_raised_and_never_go_back() throws Exception {
        store.raiseIdsAbove(70_000);
        store.raiseIdsAbove(5);
        assertThat(store.newId()).isEqualTo(70_001);
    }

    @Test
    void a_closed_store_can_be_read_and_closed_again_but_not_written() throws Exception {
        write(transaction -> transaction.insert(active(1, "a", 0)));
        store.close();
        store.close();
        assertThat(store.find("a")).isPresent();
        assertThatThrownBy(() -> write(transaction -> transaction.delete(1)))
                .isInstanceOf(MetadataException.class)
                .hasMessageContaining("the store is closed");
    }

    /** Each transaction makes or removes a pair, so that a reader who sees one half has seen half a transaction. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void random_histories_of_many_callers_end_as_a_simple_model_does(long seed) throws Exception {
        TreeMap<Long, SnapshotRecord> model = new TreeMap<>();
        AtomicBoolean over = new AtomicBoolean();
        write(transaction -> transaction.insert(committed(1, "base", 0)));
        model.put(1L, committed(1, "base", 0));
        store.raiseIdsAbove(1);
        try (ExecutorService reader = Executors.newSingleThreadExecutor()) {
            Future<?> reading = reader.submit(() -> {
                while (!over.get()) {
                    checkPairs(store.all());
                }
            });
            inParallel(6, caller -> {
                Random random = new Random(seed * 100 + caller);
                for (int i = 0; i < 200; i++) {
                    makeOrRemovePair(model, caller + "/" + random.nextInt(20), random.nextInt(10) == 0);
                }
            });
            over.set(true);
            reading.get();
        }
        assertThat(store.all()).isEqualTo(new ArrayList<>(model.values()));
    }

    private void makeOrRemovePair(Map<Long, SnapshotRecord> model, String name, boolean isDurable)
            throws MetadataException {
        long id = store.newId();
        long secondId = store.newId();
        SnapshotStore.Work<Void, RuntimeException> work = transaction -> {
            var first = transaction.find(name + " first");
            if (first.isPresent()) {
                long firstId = first.get().id();
                long pairedId = transaction.find(name + " second").orElseThrow().id();
                transaction.delete(firstId);
                transaction.delete(pairedId);
                model.keySet().removeAll(List.of(firstId, pairedId));
            } else {
                SnapshotRecord one = active(id, name + " first", 1);
                SnapshotRecord other = active(secondId, name + " second", 1);
                transaction.insert(one);
                transaction.insert(other);
                model.put(id, one);
                model.put(secondId, other);
            }
            return null;
        };
        if (isDurable) {
            store.durable(work);
        } else {
            store.ordered(work);
        }
    }

    private static void checkPairs(List<SnapshotRecord> records) {
        Set<String> keys = new HashSet<>();
        records.forEach(record -> keys.add(record.key()));
        for (String key : keys) {
            if (key.endsWith(" first")) {
                assertThat(keys).contains(key.replace(" first", " second"));
            } else if (key.endsWith(" second")) {
                assertThat(keys).contains(key.replace(" second", " first"));
            }
        }
    }

    @FunctionalInterface
    private interface Caller {
        void run(int number) throws Exception;
    }

    private static void inParallel(int callers, Caller caller) throws Exception {
        List<Callable<Void>> calls = new ArrayList<>();
        for (int i = 0; i < callers; i++) {
            int number = i;
            calls.add(() -> {
                caller.run(number);
                return null;
            });
        }
        try (ExecutorService executor = Executors.newFixedThreadPool(callers)) {
            for (Future<Void> done : executor.invokeAll(calls)) {
                done.get();
            }
        }
    }
}
