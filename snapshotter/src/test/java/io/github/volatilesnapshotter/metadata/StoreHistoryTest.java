package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.active;
import static io.github.volatilesnapshotter.metadata.Records.committed;
import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.history.History;
import io.github.volatilesnapshotter.history.Model;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Several threads read and write records at random, on few keys; some order of what they did must explain all answers. */
class StoreHistoryTest {
    /** Another seed is -Dhistory.seed=N; the threads' turns are not repeated with it. */
    private static final long SEED = Long.getLong("history.seed", System.nanoTime());

    private static final int ROUNDS = Integer.getInteger("history.storeRounds", 150);
    private static final int THREADS = 4;
    private static final int CALLS_EACH = 12;
    private static final int MOST_LOOKS = 2_000;
    private static final List<String> KEYS = List.of("a", "b", "c");

    @TempDir
    private Path directory;

    /** What is asked. Records are told apart by their keys; the numbers of transactions are in their labels. */
    private sealed interface Call {
        /** In one transaction: a new active, on the record with the key of the parent if there is one. */
        record Insert(String key, String parent, int number) implements Call {}

        /** In one durable transaction: the active becomes a committed one of that name. */
        record Commit(String key, String name, int number) implements Call {}

        record Delete(String key) implements Call {}

        /** In one transaction: every record gets this number. */
        record NumberAll(int number) implements Call {}

        /** Changes everything, and is taken back. */
        record Fail() implements Call {}

        record Find(String key) implements Call {}

        record Chain(String key) implements Call {}

        record All() implements Call {}

        /** As All, looked at again and again until it changes: what is half done would show first. */
        record Watch() implements Call {}
    }

    /** @param parent key of the parent, or empty */
    private record Row(RecordKind kind, String parent, int number) {}

    private static final String DONE = "done";
    private static final String REFUSED = "refused";

    private static final class Rows implements Model<Map<String, Row>, Call, String> {
        @Override
        public Map<String, Row> initial() {
            return Map.of();
        }

        @Override
        public Optional<Map<String, Row>> after(Map<String, Row> rows, Call call, String answer) {
            TreeMap<String, Row> after = new TreeMap<>(rows);
            String wanted = switch (call) {
                case Call.Insert insert -> insert(after, insert);
                case Call.Commit commit -> commit(after, commit);
                case Call.Delete delete -> delete(after, delete.key());
                case Call.NumberAll all -> {
                    after.replaceAll((_, row) -> new Row(row.kind(), row.parent(), all.number()));
                    yield DONE;
                }
                case Call.Fail _ -> REFUSED;
                case Call.Find find -> find(after, find.key());
                case Call.Chain chain -> chain(after, chain.key());
                case Call.All _ -> after.toString();
                case Call.Watch _ -> after.toString();
            };
            return wanted.equals(answer) ? Optional.of(Map.copyOf(after)) : Optional.empty();
        }

        private static String insert(Map<String, Row> rows, Call.Insert insert) {
            if (rows.containsKey(insert.key()) || (!insert.parent().isEmpty() && !rows.containsKey(insert.parent()))) {
                return REFUSED;
            }
            rows.put(insert.key(), new Row(RecordKind.ACTIVE, insert.parent(), insert.number()));
            return DONE;
        }

        private static String commit(Map<String, Row> rows, Call.Commit commit) {
            Row row = rows.get(commit.key());
            if (row == null
                    || (rows.containsKey(commit.name()) && !commit.name().equals(commit.key()))) {
                return REFUSED;
            }
            rows.remove(commit.key());
            rows.put(commit.name(), new Row(RecordKind.COMMITTED, row.parent(), commit.number()));
            rows.replaceAll((_, other) ->
                    other.parent().equals(commit.key()) ? new Row(other.kind(), commit.name(), other.number()) : other);
            return DONE;
        }

        private static String delete(Map<String, Row> rows, String key) {
            boolean hasChildren =
                    rows.values().stream().anyMatch(row -> row.parent().equals(key));
            if (hasChildren || rows.remove(key) == null) {
                return REFUSED;
            }
            return DONE;
        }

        private static String find(Map<String, Row> rows, String key) {
            // A record alone does not say what its parent is called.
            return Optional.ofNullable(rows.get(key))
                    .map(row -> row.kind() + " " + row.number())
                    .toString();
        }

        private static String chain(Map<String, Row> rows, String key) {
            StringBuilder chain = new StringBuilder();
            for (Row row = rows.get(key); row != null; row = rows.get(row.parent())) {
                chain.append(row.kind()).append(' ').append(row.number()).append('\n');
            }
            return chain.toString();
        }
    }

    private static Call next(Random random, int number) {
        String key = any(random, KEYS);
        return switch (random.nextInt(16)) {
            case 0, 1, 2 -> new Call.Insert(key, random.nextInt(3) == 0 ? "" : any(random, KEYS), number);
            case 3, 4 -> new Call.Commit(key, any(random, KEYS), number);
            case 5, 6 -> new Call.Delete(key);
            case 7, 8 -> new Call.NumberAll(number);
            case 9 -> new Call.Fail();
            case 10, 11 -> new Call.Find(key);
            case 12 -> new Call.Chain(key);
            case 13 -> new Call.All();
            default -> new Call.Watch();
        };
    }

    private static String any(Random random, List<String> keys) {
        return keys.get(random.nextInt(keys.size()));
    }

    private static SnapshotRecord numbered(SnapshotRecord record, int number) {
        return record.withLabels(Map.of("number", Integer.toString(number)));
    }

    private static int numberOf(SnapshotRecord record) {
        return Integer.parseInt(record.labels().get("number"));
    }

    private static String execute(SnapshotStore store, Call call) {
        try {
            return switch (call) {
                case Call.Insert insert -> {
                    long id = store.newId();
                    yield store.ordered(transaction -> {
                        long parent = insert.parent().isEmpty()
                                ? SnapshotRecord.NO_PARENT
                                : found(transaction, insert.parent()).id();
                        transaction.insert(numbered(active(id, insert.key(), parent), insert.number()));
                        return DONE;
                    });
                }
                case Call.Commit commit ->
                    store.durable(transaction -> {
                        SnapshotRecord found = found(transaction, commit.key());
                        transaction.replace(
                                numbered(committed(found.id(), commit.name(), found.parentId()), commit.number()));
                        return DONE;
                    });
                case Call.Delete delete ->
                    store.ordered(transaction -> {
                        transaction.delete(found(transaction, delete.key()).id());
                        return DONE;
                    });
                case Call.NumberAll all ->
                    store.ordered(transaction -> {
                        for (String key : KEYS) {
                            transaction
                                    .find(key)
                                    .ifPresent(record -> transaction.replace(numbered(record, all.number())));
                        }
                        return DONE;
                    });
                case Call.Fail _ ->
                    store.ordered(transaction -> {
                        for (String key : KEYS) {
                            transaction.find(key).ifPresent(record -> transaction.replace(numbered(record, -1)));
                        }
                        throw new IllegalArgumentException("on purpose");
                    });
                case Call.Find find ->
                    store.find(find.key())
                            .map(record -> record.kind() + " " + numberOf(record))
                            .toString();
                case Call.Chain chain -> chain(store, chain.key());
                case Call.All _ -> rows(store.all());
                case Call.Watch _ -> rows(changed(store));
            };
        } catch (IllegalArgumentException _) {
            return REFUSED;
        } catch (MetadataException e) {
            throw new IllegalStateException(call.toString(), e);
        }
    }

    private static SnapshotRecord found(SnapshotStore.Transaction transaction, String key) {
        return transaction.find(key).orElseThrow(() -> new IllegalArgumentException("no " + key));
    }

    /** Two reads: again if the record got another key, or was deleted, between them. */
    private static String chain(SnapshotStore store, String key) {
        Optional<SnapshotRecord> found = store.find(key);
        while (found.isPresent()) {
            List<SnapshotRecord> chain = store.chain(found.get().id());
            if (!chain.isEmpty() && chain.getFirst().key().equals(key)) {
                return chain.stream()
                        .map(record -> record.kind() + " " + numberOf(record) + "\n")
                        .collect(Collectors.joining());
            }
            found = store.find(key);
        }
        return "";
    }

    private static List<SnapshotRecord> changed(SnapshotStore store) {
        List<SnapshotRecord> before = store.all();
        List<SnapshotRecord> now = before;
        for (int look = 0; look < MOST_LOOKS && now.equals(before); look++) {
            now = store.all();
        }
        return now;
    }

    private static String rows(List<SnapshotRecord> records) {
        Map<Long, String> keys = records.stream().collect(Collectors.toMap(SnapshotRecord::id, SnapshotRecord::key));
        TreeMap<String, Row> rows = new TreeMap<>();
        for (SnapshotRecord record : records) {
            String parent = record.hasParent() ? keys.getOrDefault(record.parentId(), "missing") : "";
            rows.put(record.key(), new Row(record.kind(), parent, numberOf(record)));
        }
        return rows.toString();
    }

    @Test
    void some_order_explains_every_answer() throws Exception {
        System.out.println("history.seed=" + SEED + " history.storeRounds=" + ROUNDS);
        int overlaps = 0;
        for (int round = 0; round < ROUNDS; round++) {
            try (SnapshotStore store = SqliteSnapshotStore.open(directory.resolve("round-" + round + ".db"))) {
                int number = round;
                History<Call, String> history = History.of(
                        THREADS,
                        CALLS_EACH,
                        thread -> calls(new Random(SEED + 31L * number + thread), thread),
                        List.of(new Call.All()),
                        call -> execute(store, call));
                overlaps += history.overlaps();
                assertThat(history.contradictionTo(new Rows()))
                        .as("seed %d, round %d", SEED, round)
                        .isEmpty();
            }
        }
        assertThat(overlaps).isGreaterThan(ROUNDS);
    }

    private static Function<Integer, Call> calls(Random random, int thread) {
        return call -> next(random, 100 * thread + call);
    }
}
