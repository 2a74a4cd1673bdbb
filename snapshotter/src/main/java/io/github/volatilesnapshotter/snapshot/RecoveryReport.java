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
        /** A view, which has no directory. */
        VIEW(false),
        /** A committed snapshot whose directory is there. */
        LAYER(false),
        /** Its overlay was mounted all the time. */
        ADOPTED(false),
        /** Goes on being unpacked, or written to through a plain overlay. */
        RESUMED(false),
        /** Was poisoned before. */
        STAYS_POISONED(false),
        /** Its overlay was gone and is mounted again. */
        REMOUNTED(true),
        /** Its overlay was gone from its place, and is there again from another place where it is still mounted. */
        REATTACHED(true),
        POISONED(true),
        /** A committed snapshot without its directory. */
        LOST_LAYER(true),
        /** A directory without a record, moved to the trash. */
        THROWN_AWAY(true),
        /** A mount that belongs to no snapshot, or hid one. */
        DETACHED(true),
        /** Something in the directory of snapshots that is none. */
        LEFT_ALONE(true),
        /** Something that could not be done; tried again by the next start. */
        FAILED(true);

        private final boolean hasLines;

        Outcome(boolean hasLines) {
            this.hasLines = hasLines;
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

    synchronized Map<Outcome, Long> counts() {
        return Map.copyOf(counts);
    }

    synchronized List<Line> lines() {
        return List.copyOf(lines);
    }
}
