package io.github.volatilesnapshotter.snapshot;

import java.util.Collection;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Up to when what was changed in each upper was looked for by early writeback. That passes over what it does not expect, so this only says where
 * little is left to begin; what is to be on disk is waited for whatever it says. Holds an entry for each snapshot that is being unpacked.
 * Any thread.
 */
final class BegunWriteback {
    /** Of one that was never looked through: since 1970. */
    private static final long NEVER = 0;

    private final Map<Long, Long> throughNanos = new ConcurrentHashMap<>();

    /** By the clock of files, in nanoseconds since 1970. */
    long through(long id) {
        return throughNanos.getOrDefault(id, NEVER);
    }

    void isThrough(long id, long nanos) {
        throughNanos.put(id, nanos);
    }

    /** Forgets all others. */
    void retain(Collection<Long> ids) {
        throughNanos.keySet().retainAll(ids);
    }
}
