package io.github.volatilesnapshotter.snapshot;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * What was said a short while ago need not be said again: on a disk that stays bad the same files lose writes for hours. Not
 * thread-safe.
 */
final class SaidLately {
    static final int SILENCE_MINUTES = 10;

    /** In that time; more are not said at all. */
    static final int MOST_TEXTS = 256;

    private final LongSupplier nanoTime;
    private final Map<String, Long> saidAtNanos = new HashMap<>();

    /** @param nanoTime as {@link System#nanoTime} */
    SaidLately(LongSupplier nanoTime) {
        this.nanoTime = nanoTime;
    }

    /** Those that are to be said now, in order; they count as said. */
    List<String> fresh(List<String> texts) {
        long now = nanoTime.getAsLong();
        saidAtNanos.values().removeIf(at -> now - at >= TimeUnit.MINUTES.toNanos(SILENCE_MINUTES));
        return texts.stream()
                .filter(text -> saidAtNanos.size() < MOST_TEXTS && saidAtNanos.putIfAbsent(text, now) == null)
                .toList();
    }
}
