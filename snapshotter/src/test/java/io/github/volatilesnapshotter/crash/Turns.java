package io.github.volatilesnapshotter.crash;

import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.function.Predicate;

/**
 * At which point a process is to die next, so that a series comes to all of them: those that were never reached take turns, a retry
 * asking for the first passage; when there are none left, all do. One thread.
 */
final class Turns {
    private final List<CrashPoint> points;
    private final Set<CrashPoint> never;
    private final Set<CrashPoint> tried = EnumSet.noneOf(CrashPoint.class);
    private int next;

    /** @param seed with another one each series begins somewhere else */
    Turns(Set<CrashPoint> points, long seed) {
        this.points = List.copyOf(points);
        this.never = EnumSet.copyOf(points);
        this.next = Math.floorMod(seed, points.size());
    }

    /** @param isPossible whether this round can come to a point; it can to one at least */
    CrashPoint next(Predicate<CrashPoint> isPossible) {
        Predicate<CrashPoint> isDue =
                never.stream().anyMatch(isPossible) ? isPossible.and(never::contains) : isPossible;
        for (int i = 0; i < points.size(); i++) {
            CrashPoint point = points.get(next);
            next = (next + 1) % points.size();
            if (isDue.test(point)) {
                return point;
            }
        }
        throw new IllegalArgumentException("none of " + points + " is possible");
    }

    /** Whether it was tried before and never reached. */
    boolean isRetried(CrashPoint point) {
        return tried.contains(point) && never.contains(point);
    }

    void tried(CrashPoint point, boolean isReached) {
        tried.add(point);
        if (isReached) {
            never.remove(point);
        }
    }

    /** How many points there are. */
    int count() {
        return points.size();
    }

    Set<CrashPoint> neverReached() {
        return Set.copyOf(never);
    }
}
