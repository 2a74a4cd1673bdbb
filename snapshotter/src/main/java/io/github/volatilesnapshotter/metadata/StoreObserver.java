package io.github.volatilesnapshotter.metadata;

import java.io.IOException;

/** Told what the store does, for metrics and logs. Called on the thread that did it, often with the writer's lock held: must return at once. */
public interface StoreObserver {
    /** Observes nothing. */
    StoreObserver NONE = new StoreObserver() {};

    /**
     * A transaction was written.
     *
     * @param waitedNanos from the call until it was its turn
     * @param tookNanos from then until it was done, the caller's own work included
     */
    default void written(Durability durability, long waitedNanos, long tookNanos) {}

    /**
     * Durable transactions were brought to disk by one flush, each of which is then {@link #written}.
     *
     * @param transactions at least 1
     */
    default void flushed(int transactions) {}

    /**
     * The write-ahead log was carried over into the database and emptied.
     *
     * @param logBytes how long it was
     * @param blockedNanos how long writers could not write
     */
    default void checkpointed(long logBytes, long blockedNanos) {}

    /** Work in the background failed. It is tried again; writes are refused if it must not be. */
    default void maintenanceFailed(MetadataException failure) {}

    /** The filesystem has no room for what a start or a stop writes of its own. The records are whole and can be read. */
    default void noRoom(MetadataException failure) {}

    /** A transaction could not be noted ({@link TransactionNote}), and those before could. It is acknowledged all the same. */
    default void notNoted(IOException failure) {}

    /**
     * Transactions that were acknowledged on this boot are missing, as after a power cut: the filesystem was mounted anew since.
     *
     * @param transactions at least 1
     */
    default void tailLost(long transactions) {}

    /** The note of the last transaction was deleted, and is there again. */
    default void notedAgain() {}

    /** Writes are refused from now on, because this failed and what the disk holds is uncertain. */
    default void writesRefused(MetadataException failure) {}

    /**
     * The file could not be written anew from memory. It is tried again.
     *
     * @param attempt counted from 1 since writes are refused
     */
    default void rebuildFailed(MetadataException failure, int attempt) {}

    /**
     * The file was written anew from memory, and writes are accepted again.
     *
     * @param refusedNanos for how long they were not
     */
    default void rebuilt(long refusedNanos) {}
}
