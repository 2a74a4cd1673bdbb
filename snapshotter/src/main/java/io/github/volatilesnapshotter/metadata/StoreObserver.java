package io.github.volatilesnapshotter.metadata;

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
     * The write-ahead log was carried over into the database and emptied.
     *
     * @param logBytes how long it was
     * @param blockedNanos how long writers could not write
     */
    default void checkpointed(long logBytes, long blockedNanos) {}

    /** Work in the background failed. It is tried again; writes are refused if it must not be. */
    default void maintenanceFailed(MetadataException failure) {}
}
