package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.crash.Violation.Kind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/** What was seen in many rounds. One thread. */
final class Tally {
    /** Points that a summary names; a short series leaves out more. */
    private static final int MOST_NAMED = 8;

    private final String peer;
    private final List<String> violations = new ArrayList<>();
    private final Map<Kind, Integer> counts = new EnumMap<>(Kind.class);
    private final Set<Violation> known = new HashSet<>();
    private final Set<String> roundsWithViolations = new HashSet<>();
    private final Map<String, Turns> turns = new LinkedHashMap<>();
    private final Map<String, Integer> poisoned = new TreeMap<>();
    private String round = "";
    private int rounds;
    private int deathsAtPoints;
    private int pointsMissed;
    private int startsWhileItFailed;
    private int servedWhileItFailed;
    private int remounts;
    private int refusedLosses;
    private long answers;
    private long layers;
    private long survivors;

    /** @param peer how the snapshotter is called */
    Tally(String peer) {
        this.peer = peer;
    }

    /** @param named with the seed that repeats it */
    void beginRound(String named) {
        round = named;
        rounds++;
    }

    void violated(Violation violation) {
        roundsWithViolations.add(round);
        // What stays wrong is found again in each later round on the same root.
        if (known.add(violation)) {
            counts.merge(violation.kind(), 1, Integer::sum);
            violations.add(round + ": " + violation);
        }
    }

    void found(Invariants.Report report) {
        report.violations().forEach(this::violated);
        layers += report.layers();
        survivors += report.found().values().stream()
                .filter(entry ->
                        entry.kind() == io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.ACTIVE)
                .count();
        report.poisoned().values().forEach(reason -> poisoned.merge(reason, 1, Integer::sum));
    }

    void answers(long more) {
        answers += more;
    }

    void remounted() {
        remounts++;
    }

    /** A start was refused because records were missing. */
    void lossRefused() {
        refusedLosses++;
    }

    /** A start on the failing disk. */
    void startedWhileItFailed(boolean isServing) {
        startsWhileItFailed++;
        servedWhileItFailed += isServing ? 1 : 0;
    }

    /** The turns of a kind of points in this series. */
    Turns turns(String kind, Supplier<Turns> made) {
        return turns.computeIfAbsent(kind, _ -> made.get());
    }

    /** @param isReached whether the process died there; else it was killed later */
    void point(String kind, CrashPoint point, boolean isReached) {
        turns.get(kind).tried(point, isReached);
        deathsAtPoints += isReached ? 1 : 0;
        pointsMissed += isReached ? 0 : 1;
    }

    /** Points of these kinds that no process has died at. */
    List<String> neverReached(String... kinds) {
        return Arrays.stream(kinds)
                .filter(turns::containsKey)
                .flatMap(kind -> turns.get(kind).neverReached().stream().map(point -> kind + " " + point.word()))
                .sorted()
                .toList();
    }

    /** One line each, with the seed and the round. */
    List<String> violations() {
        return violations;
    }

    /** How many rounds have violated something of this kind, or several things. */
    int count(Kind kind) {
        return counts.getOrDefault(kind, 0);
    }

    /** All in words, for people: a line each for what was done, where it died and what was wrong. */
    String summary() {
        List<String> lines = new ArrayList<>();
        lines.add(
                "%d rounds, %d answers, %d layers compared, %d actives survived, poisoned %s, %d remounts, %d starts refused for lost records"
                        .formatted(rounds, answers, layers, survivors, poisoned, remounts, refusedLosses));
        if (deathsAtPoints + pointsMissed > 0) {
            lines.add(deaths());
        }
        if (startsWhileItFailed > 0) {
            lines.add(
                    "%d of %d starts while the disk failed served".formatted(servedWhileItFailed, startsWhileItFailed));
        }
        lines.add("something wrong in %d of %d rounds%s".formatted(roundsWithViolations.size(), rounds, wrong()));
        return lines.stream().map(line -> peer + ": " + line).collect(Collectors.joining("\n"));
    }

    private String deaths() {
        List<String> never = neverReached(turns.keySet().toArray(String[]::new));
        int points = turns.values().stream().mapToInt(Turns::count).sum();
        return "%d times killed at a named point, at %d of %d points; %d times the point did not come%s"
                .formatted(
                        deathsAtPoints,
                        points - never.size(),
                        points,
                        pointsMissed,
                        never.isEmpty() || never.size() > MOST_NAMED ? "" : "; none died yet at " + never);
    }

    private String wrong() {
        return counts.isEmpty()
                ? ""
                : counts.entrySet().stream()
                        .map(counted ->
                                counted.getValue() + " " + counted.getKey().words())
                        .collect(Collectors.joining(", ", ": ", ""));
    }
}
