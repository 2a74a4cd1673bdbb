package io.github.volatilesnapshotter.snapshot;

import java.nio.file.Path;
import java.util.Collection;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * Paths with which something could not be done, and when it is tried again: after {@value #FIRST_PAUSE_MILLIS} ms, then after pauses of twice
 * the length each time, up to {@value #LONGEST_PAUSE_MILLIS} ms. Any thread.
 */
final class Postponed {
    static final long FIRST_PAUSE_MILLIS = 30_000;

    private static final long LONGEST_PAUSE_MILLIS = 3_600_000;

    private final LongSupplier nanoTime;
    private final Map<Path, Retry> retries = new ConcurrentHashMap<>();

    /** When the next try is due, and the pause before it. */
    private record Retry(long dueNanos, long pauseMillis) {}

    /** @param nanoTime as {@link System#nanoTime} */
    Postponed(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
    }

    /** It has failed; one that is here keeps its time. Whether it was not here. */
    boolean add(Path path) {
        return retries.putIfAbsent(path, after(FIRST_PAUSE_MILLIS)) == null;
    }

    /** It has failed, once more if it is here: then the pause is longer. Whether it was not here. */
    boolean postpone(Path path) {
        Retry next = retries.merge(
                path,
                after(FIRST_PAUSE_MILLIS),
                (failed, _) -> after(Math.min(2 * failed.pauseMillis(), LONGEST_PAUSE_MILLIS)));
        return next.pauseMillis() == FIRST_PAUSE_MILLIS;
    }

    private Retry after(long pauseMillis) {
        return new Retry(nanoTime.getAsLong() + TimeUnit.MILLISECONDS.toNanos(pauseMillis), pauseMillis);
    }

    /** Also true of one that is not here. */
    boolean isDue(Path path) {
        Retry retry = retries.get(path);
        return retry == null || nanoTime.getAsLong() - retry.dueNanos() >= 0;
    }

    /** It has worked. */
    void remove(Path path) {
        retries.remove(path);
    }

    void retainAll(Collection<Path> paths) {
        retries.keySet().retainAll(Set.copyOf(paths));
    }

    /** A copy. */
    Set<Path> paths() {
        return Set.copyOf(retries.keySet());
    }

    int size() {
        return retries.size();
    }
}
