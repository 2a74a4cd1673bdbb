package io.github.volatilesnapshotter.metadata;

/** One step of a transaction, already known to keep the records sound. */
sealed interface Change {
    record Insert(SnapshotRecord record) implements Change {}

    record Replace(SnapshotRecord before, SnapshotRecord after) implements Change {
        /** Whether an index has to follow; if not, one page less is written. */
        boolean movesInIndex() {
            return !before.key().equals(after.key()) || before.parentId() != after.parentId();
        }
    }

    record Delete(SnapshotRecord record) implements Change {}
}
