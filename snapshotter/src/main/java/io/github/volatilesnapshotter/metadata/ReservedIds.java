package io.github.volatilesnapshotter.metadata;

import java.util.concurrent.atomic.AtomicLong;

/**
 * Ids of snapshots, each of which is given once, whatever comes: on disk is a number not below any that was given. It is raised by blocks, so that
 * giving one takes no flush; a restart skips what is left of a block. Any thread; only a writer raises what is reserved.
 */
final class ReservedIds {
    static final long BLOCK = 4_096;

    private final AtomicLong next = new AtomicLong();
    private volatile long through;

    /** @param reserved what the disk says */
    void load(long reserved, long lastGiven) {
        next.set(Math.max(reserved, lastGiven) + 1);
        through = reserved;
    }

    /** One that must not be used before it {@link #isReserved}. */
    long give() {
        return next.getAndIncrement();
    }

    boolean isReserved(long id) {
        return id <= through;
    }

    /** True for exactly one id of each block: then is the time to reserve the next one. */
    boolean isMiddle(long id) {
        return through - id == BLOCK / 2;
    }

    boolean areScarce() {
        return through - next.get() < BLOCK / 2;
    }

    /** How far to reserve next: never below what is reserved. */
    long nextThrough() {
        return Math.max(through, next.get() + BLOCK);
    }

    /** The disk says so now. */
    void reserved(long reserved) {
        through = reserved;
    }

    /** Above all that were given, whether that is reserved or not. */
    long highest() {
        return Math.max(through, next.get());
    }

    /** From now on only greater ones are given. */
    void raiseAbove(long id) {
        next.accumulateAndGet(id + 1, Math::max);
    }
}
