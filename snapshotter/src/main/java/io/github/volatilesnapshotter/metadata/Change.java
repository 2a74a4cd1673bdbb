package io.github.volatilesnapshotter.metadata;

import java.util.List;

/** One step of a transaction, already known to keep the records sound. */
sealed interface Change {
    record Insert(SnapshotRecord record) implements Change {}

    record Replace(SnapshotRecord before, SnapshotRecord after) implements Change {
        /** Whether an index has to follow; if not, one page less is written. */
        boolean movesInIndex() {
            return !before.key().equals(after.key()) || before.parentId() != after.parentId();
        }
    }

    /** The same poison for all of them: an error hits every upper of its superblock, and the sooner all are recorded the better. */
    record PoisonAll(Poison poison, List<Replace> replacements) implements Change {}

    record Delete(SnapshotRecord record) implements Change {}
}
