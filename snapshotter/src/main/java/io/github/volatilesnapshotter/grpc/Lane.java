package io.github.volatilesnapshotter.grpc;

import java.util.Locale;

/**
 * Calls that may wait for the same thing share a lane, which has threads and a queue of its own. So a disk that hangs in Commit
 * stops neither Prepare on another disk nor Stat.
 */
enum Lane {
    /** Answers from records. */
    READ,
    /** Mounts, unmounts and writes records, but waits for no flush of data. */
    CHANGE,
    /** Syncs a layer: as long as the disk takes. */
    COMMIT,
    /** Walks or deletes files. */
    DISK;

    String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
