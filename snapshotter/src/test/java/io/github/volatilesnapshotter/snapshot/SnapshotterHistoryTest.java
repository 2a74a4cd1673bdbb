package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.history.History;
import io.github.volatilesnapshotter.history.Model;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.linux.MountInfo;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.Function;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Several clients ask for the same few snapshots at the same time, while writes of some of them are lost; some order of what
 * they did must explain all answers.
 */
@Tag("kernel")
class SnapshotterHistoryTest {
    /** Another seed is -Dhistory.seed=N; the threads' turns are not repeated with it. */
    private static final long SEED = Long.getLong("history.seed", System.nanoTime());

    private static final int ROUNDS = Integer.getInteger("history.rounds", 150);
    private static final int THREADS = 4;
    private static final int CALLS_EACH = 10;

    private static final String DURABLE = "default/1/extract-layer";
    private static final String VOLATILE = "default/2/container";
    private static final List<String> NAMES = List.of("x", "y");
    private static final List<String> KEYS = List.of(DURABLE, VOLATILE, DURABLE, VOLATILE, "x", "y");

    private static final String OK = "OK";
    private static final String POISONED = " poisoned";

    private sealed interface Call {
        record Prepare(String key, String parent) implements Call {}

        record View(String key, String parent) implements Call {}

        record Commit(String name, String key, String parent) implements Call {}

        record Remove(String key) implements Call {}

        record Mounts(String key) implements Call {}

        record Stat(String key) implements Call {}

        record ListAll() implements Call {}

        /** The kernel reports a lost write of the snapshot with this id; 0 for none. */
        record LoseWrite(long id) implements Call {}
    }

    /**
     * @param id of its directory; 0 of a view, which has none
     * @param parent name, or empty
     */
    private record Row(long id, Kind kind, String parent, boolean isPoisoned) {
        Row poisoned() {
            return new Row(id, kind, parent, true);
        }

        Row committed(String newParent) {
            return new Row(id, Kind.COMMITTED, newParent, false);
        }

        String shown() {
            return kind + " on '" + parent + "'" + (isPoisoned ? POISONED : "");
        }
    }

    /** What containerd's own store does (core/snapshots/storage/bolt.go), and poison. */
    private static final class Rows implements Model<Map<String, Row>, Call, String> {
        @Override
        public Map<String, Row> initial() {
            return Map.of();
        }

        @Override
        public Optional<Map<String, Row>> after(Map<String, Row> rows, Call call, String answer) {
            Map<String, Row> after = new TreeMap<>(rows);
            String wanted = switch (call) {
                case Call.Prepare prepare -> insert(after, prepare.key(), prepare.parent(), Kind.ACTIVE, answer);
                case Call.View view -> insert(after, view.key(), view.parent(), Kind.VIEW, answer);
                case Call.Commit commit -> commit(after, commit);
                case Call.Remove remove -> remove(after, remove.key());
                case Call.Mounts mounts -> mounts(after, mounts.key());
                case Call.Stat stat -> {
                    Row row = after.get(stat.key());
                    yield row == null ? "NOT_FOUND" : row.shown();
                }
                case Call.ListAll _ -> all(after);
                case Call.LoseWrite lost -> {
                    after.replaceAll((_, row) -> lost.id() != 0 && row.id() == lost.id() && row.kind() == Kind.ACTIVE
                            ? row.poisoned()
                            : row);
                    yield OK;
                }
            };
            return wanted.equals(answer) ? Optional.of(Map.copyOf(after)) : Optional.empty();
        }

        /** Which id a new active gets is the snapshotter's choice: the answer says it. */
        private static String insert(Map<String, Row> rows, String key, String parent, Kind kind, String answer) {
            if (rows.containsKey(key)) {
                return "ALREADY_EXISTS";
            }
            if (!parent.isEmpty()) {
                Row below = rows.get(parent);
                if (below == null) {
                    return "NOT_FOUND";
                }
                if (below.kind() != Kind.COMMITTED) {
                    return "INVALID_ARGUMENT";
                }
            }
            long id = kind == Kind.VIEW ? 0 : idIn(answer);
            rows.put(key, new Row(id, kind, parent, false));
            return mounts(rows, key);
        }

        private static String commit(Map<String, Row> rows, Call.Commit commit) {
            if (rows.containsKey(commit.name())) {
                return "ALREADY_EXISTS";
            }
            Row row = rows.get(commit.key());
            if (row == null) {
                return "NOT_FOUND";
            }
            if (row.kind() != Kind.ACTIVE) {
                return "FAILED_PRECONDITION";
            }
            String parent = row.parent();
            if (!commit.parent().isEmpty() && !commit.parent().equals(parent)) {
                if (!parent.isEmpty()) {
                    return "INVALID_ARGUMENT";
                }
                Row below = rows.get(commit.parent());
                if (below == null) {
                    return "NOT_FOUND";
                }
                if (below.kind() != Kind.COMMITTED) {
                    return "FAILED_PRECONDITION";
                }
                parent = commit.parent();
            }
            if (row.isPoisoned()) {
                return "FAILED_PRECONDITION";
            }
            rows.remove(commit.key());
            rows.put(commit.name(), row.committed(parent));
            return OK;
        }

        private static String remove(Map<String, Row> rows, String key) {
            if (!rows.containsKey(key)) {
                return "NOT_FOUND";
            }
            if (rows.values().stream().anyMatch(row -> row.parent().equals(key))) {
                return "FAILED_PRECONDITION";
            }
            rows.remove(key);
            return OK;
        }

        private static String mounts(Map<String, Row> rows, String key) {
            Row row = rows.get(key);
            if (row == null) {
                return "NOT_FOUND";
            }
            if (row.kind() == Kind.COMMITTED || row.isPoisoned()) {
                return "FAILED_PRECONDITION";
            }
            if (key.equals(DURABLE) || row.kind() == Kind.VIEW) {
                List<Long> lower = new ArrayList<>();
                for (Row below = rows.get(row.parent()); below != null; below = rows.get(below.parent())) {
                    lower.add(below.id());
                }
                return shown(row.id(), lower);
            }
            return shown(row.id(), List.of());
        }

        private static String all(Map<String, Row> rows) {
            Map<String, String> shown = new TreeMap<>();
            rows.forEach((key, row) -> shown.put(key, row.shown().replace(POISONED, "")));
            return shown.toString();
        }
    }

    private static String shown(long upper, List<Long> lower) {
        return "upper " + upper + " on " + lower;
    }

    private static long idIn(String shown) {
        return shown.startsWith("upper ") ? Long.parseLong(shown.split(" ", -1)[1]) : -1;
    }

    /** A run of the snapshotter with the ids that it has given. */
    private static final class Asked {
        private final RunningSnapshotterFixture fixture;
        private volatile long newestId;

        Asked(RunningSnapshotterFixture fixture) {
            this.fixture = fixture;
        }

        Function<Integer, Call> calls(Random random) {
            return _ -> {
                String key = any(random, KEYS);
                String parent = random.nextInt(3) == 0 ? any(random, NAMES) : "";
                return switch (random.nextInt(20)) {
                    case 0, 1, 2, 3 -> new Call.Prepare(key, parent);
                    case 4 -> new Call.View(key, any(random, NAMES));
                    case 5, 6, 7, 8 -> new Call.Commit(any(random, NAMES), key, parent);
                    case 9, 10, 11 -> new Call.Remove(key);
                    case 12, 13 -> new Call.Mounts(key);
                    case 14, 15 -> new Call.Stat(key);
                    case 16 -> new Call.ListAll();
                    default -> new Call.LoseWrite(random.nextBoolean() ? newestId : 0);
                };
            };
        }

        String execute(Call call) {
            Snapshotter snapshotter = fixture.snapshotter();
            try {
                switch (call) {
                    case Call.Prepare prepare -> {
                        String answer = shown(snapshotter.prepare(prepare.key(), prepare.parent(), Map.of()));
                        newestId = idIn(answer);
                        return answer;
                    }
                    case Call.View view -> {
                        return shown(snapshotter.view(view.key(), view.parent(), Map.of()));
                    }
                    case Call.Commit commit ->
                        snapshotter.commit(commit.name(), commit.key(), commit.parent(), Map.of(), Cancellation.NEVER);
                    case Call.Remove remove -> snapshotter.remove(remove.key());
                    case Call.Mounts mounts -> {
                        return shown(snapshotter.mounts(mounts.key()));
                    }
                    case Call.Stat stat -> {
                        return shown(snapshotter.stat(stat.key()));
                    }
                    case Call.ListAll _ -> {
                        Map<String, String> all = new TreeMap<>();
                        Iterator<SnapshotInfo> listed = snapshotter.list(List.of());
                        while (listed.hasNext()) {
                            SnapshotInfo info = listed.next();
                            // Poison is looked up for each record as it is listed.
                            all.put(info.name(), shown(info).replace(POISONED, ""));
                        }
                        return all.toString();
                    }
                    case Call.LoseWrite lost -> fixture.condemn(lost.id());
                }
                return OK;
            } catch (SnapshotException e) {
                return e.category().name();
            }
        }

        private static String shown(SnapshotInfo info) {
            boolean isPoisoned = info.labels().containsKey(Labels.POISONED);
            return info.kind() + " on '" + info.parent() + "'" + (isPoisoned ? POISONED : "");
        }

        /** By the numbers of the directories; the empty one has none. */
        private static String shown(List<Mount> mounts) {
            Mount mount = mounts.getFirst();
            if (mount.type().equals("bind")) {
                long id = idOf(Path.of(mount.source()));
                boolean isView = mount.options().contains("ro");
                return SnapshotterHistoryTest.shown(isView ? 0 : id, isView && id > 0 ? List.of(id) : List.of());
            }
            List<Long> lower = new ArrayList<>();
            for (String path :
                    RunningSnapshotterFixture.option(mounts, "lowerdir=").split(":", -1)) {
                if (idOf(Path.of(path)) > 0) {
                    lower.add(idOf(Path.of(path)));
                }
            }
            boolean isView = mount.options().stream().noneMatch(option -> option.startsWith("upperdir="));
            return SnapshotterHistoryTest.shown(isView ? 0 : idOf(RunningSnapshotterFixture.upperOf(mounts)), lower);
        }

        private static long idOf(Path directory) {
            return directory.endsWith("empty")
                    ? 0
                    : Long.parseLong(directory.getParent().getFileName().toString());
        }

        /** Children before parents. */
        void removeAll() throws Exception {
            for (int pass = 0; pass < 3; pass++) {
                for (String key : List.of(DURABLE, VOLATILE, "x", "y")) {
                    String _ = execute(new Call.Remove(key));
                }
            }
        }
    }

    private static String any(Random random, List<String> keys) {
        return keys.get(random.nextInt(keys.size()));
    }

    @Test
    void some_order_explains_every_answer() throws Exception {
        System.out.println("history.seed=" + SEED + " history.rounds=" + ROUNDS);
        int overlaps = 0;
        int committed = 0;
        try (FaultyDisk disk = FaultyDisk.create(Disk.FileSystem.EXT4);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root())) {
            for (int round = 0; round < ROUNDS; round++) {
                Asked asked = new Asked(fixture);
                int number = round;
                History<Call, String> history = History.of(
                        THREADS,
                        CALLS_EACH,
                        thread -> asked.calls(new Random(SEED + 31L * number + thread)),
                        List.of(new Call.ListAll()),
                        asked::execute);
                overlaps += history.overlaps();
                committed += asked.execute(new Call.ListAll()).contains("COMMITTED") ? 1 : 0;
                assertThat(history.contradictionTo(new Rows()))
                        .as("seed %d, round %d", SEED, round)
                        .isEmpty();
                asked.removeAll();
                assertThat(asked.execute(new Call.ListAll())).isEqualTo("{}");
                assertThat(fixture.layout().snapshots()).as("round %d", round).isEmptyDirectory();
                assertThat(MountInfo.ofSelf())
                        .as("round %d", round)
                        .noneMatch(mount ->
                                mount.mountPoint().startsWith(fixture.layout().snapshots() + "/"));
            }
        }
        assertThat(overlaps).isGreaterThan(ROUNDS);
        assertThat(committed).isGreaterThan(ROUNDS / 10);
    }
}
