package io.github.volatilesnapshotter.grpc;

import java.util.Locale;

/**
 * Calls that may wait for the same thing share a lane, which has threads and a queue of its own. So a disk that hangs in Commit
 * stops neither Prepare on another disk nor Stat.
 */
enum Lane {
    /** Answers from records. */
    READ(false),
    /** Mounts, unmounts and writes records, but waits for no flush of data. */
    CHANGE(true),
    /** Syncs a layer: as long as the disk takes. */
    COMMIT(true),
    /** Walks or deletes files. */
    DISK(true);

    /** Whether its calls wait for ever while the disk hangs. */
    final boolean needsDisk;

    Lane(boolean needsDisk) {
        this.needsDisk = needsDisk;
    }

    String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
