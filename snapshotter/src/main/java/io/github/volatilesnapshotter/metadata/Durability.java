package io.github.volatilesnapshotter.metadata;

/** What a write transaction promises when it returns. */
public enum Durability {
    /** Survives the death of the process, and stays in order with durable ones; costs no flush. */
    ORDERED,
    /** It, and every transaction before it, is on disk. */
    DURABLE
}
