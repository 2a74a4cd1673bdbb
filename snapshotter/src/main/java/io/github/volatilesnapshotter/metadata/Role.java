package io.github.volatilesnapshotter.metadata;

/** What an active snapshot's upper is for. */
public enum Role {
    /** It will become a layer: the client mounts a plain overlay on it, and Commit flushes it. */
    DURABLE,
    /** It will be thrown away: this snapshotter mounts it volatile, and nothing ever flushes it. */
    VOLATILE
}
