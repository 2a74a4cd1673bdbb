package io.github.volatilesnapshotter.snapshot;

import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * The usage of actives, remembered briefly: the kubelet asks for each container every ten seconds, and counting walks the tree.
 * Holds at most one entry for each active snapshot.
 */
final class UsageCache {
    private final long lifeNanos;
    private final Map<Long, Counted> counted = new ConcurrentHashMap<>();

    UsageCache(long lifeMillis) {
        this.lifeNanos = TimeUnit.MILLISECONDS.toNanos(lifeMillis);
    }

    Optional<Usage> get(long id) {
        return Optional.ofNullable(counted.get(id))
                .filter(known -> System.nanoTime() - known.atNanos() < lifeNanos)
                .map(Counted::usage);
    }

    Usage put(long id, Usage usage) {
        if (lifeNanos > 0) {
            counted.put(id, new Counted(usage, System.nanoTime()));
        }
        return usage;
    }

    void forget(long id) {
        counted.remove(id);
    }

    private record Counted(Usage usage, long atNanos) {}
}
