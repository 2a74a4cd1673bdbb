package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * What one start found and did: everything counted, and a line for each thing that is not as it was left. Lines are bounded, counts are
 * not. Any thread.
 */
final class RecoveryReport {
    private static final System.Logger LOG = System.getLogger(RecoveryReport.class.getName());

    static final int MOST_LINES = 1_000;

    /** Of each outcome; the report has the others. */
    private static final int MOST_LOGGED = 20;

    /** What became of one snapshot, directory or mount. The word is what files and people see. */
    enum Outcome {
        VIEW(false, "a view, which has no directory"),
        LAYER(false, "a committed snapshot whose directory is there"),
        ADOPTED(false, "a container's overlay that was mounted all the time, and is watched on"),
        RESUMED(false, "a durable active, watched all the time: goes on being unpacked, or written to"),
        STAYS_POISONED(false, "was poisoned before"),
        REMOUNTED(true, "a container's overlay was gone; watched all the time, so it is mounted again"),
        REATTACHED(true, "a container's overlay was gone from its place, and is back from where it still was"),
        POISONED(true, "can't be trusted any more; the detail has the reason"),
        LOST_LAYER(true, "a committed snapshot without its directory: what stands on it is refused"),
        THROWN_AWAY(true, "a directory without a record, moved to the trash"),
        THROWN_AWAY_LAYER(
                true, "a layer without a record, moved to the trash: its removal was cut short, or its record is lost"),
        DETACHED(true, "a mount that belonged to no snapshot, or hid one"),
        LEFT_ALONE(true, "something among the snapshots that is none"),
        FAILED(
                true,
                "something could not be done; the next start tries it again, and what can't be moved to the trash this daemon does too");

        private final boolean hasLines;
        private final String meaning;

        Outcome(boolean hasLines, String meaning) {
            this.hasLines = hasLines;
            this.meaning = meaning;
        }

        /** For people. */
        String meaning() {
            return meaning;
        }

        String word() {
            return name().toLowerCase(Locale.ROOT).replace('_', '-');
        }
    }

    /**
     * One thing that was found.
     *
     * @param id 0 if it has none
     * @param key empty if it has none
     */
    record Line(Outcome outcome, long id, String key, String detail) {}

    private final Map<Outcome, Long> counts = new EnumMap<>(Outcome.class);
    private final List<Line> lines = new ArrayList<>();

    synchronized void count(Outcome outcome) {
        counts.merge(outcome, 1L, Long::sum);
    }

    synchronized void add(Outcome outcome, long id, String key, String detail) {
        count(outcome);
        if (!outcome.hasLines) {
            return;
        }
        if (lines.size() < MOST_LINES) {
            lines.add(new Line(outcome, id, key, detail));
        }
        if (countOf(outcome) <= MOST_LOGGED) {
            LOG.log(
                    outcome == Outcome.THROWN_AWAY || outcome == Outcome.REMOUNTED ? INFO : WARNING,
                    "recovery: " + outcome.word(),
                    "id",
                    id,
                    "key",
                    key,
                    "detail",
                    detail);
        }
    }

    synchronized long countOf(Outcome outcome) {
        return counts.getOrDefault(outcome, 0L);
    }

    /** Things that have a line, whether it was kept or not. */
    synchronized long found() {
        return counts.entrySet().stream()
                .filter(count -> count.getKey().hasLines)
                .mapToLong(Map.Entry::getValue)
                .sum();
    }

    /** How many of each outcome, as fields of a log line. */
    List<Object> countsAsFields() {
        List<Object> fields = new ArrayList<>();
        for (Outcome outcome : Outcome.values()) {
            fields.add(outcome.name().toLowerCase(Locale.ROOT));
            fields.add(countOf(outcome));
        }
        return fields;
    }

    synchronized List<Line> lines() {
        return List.copyOf(lines);
    }
}
