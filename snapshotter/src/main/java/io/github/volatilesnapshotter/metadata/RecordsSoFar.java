package io.github.volatilesnapshotter.metadata;

import java.util.Optional;

/** The records that a transaction begins with: the committed ones, or those that another one has made which is written together with it. */
interface RecordsSoFar {
    Optional<SnapshotRecord> find(String key);

    Optional<SnapshotRecord> find(long id);

    int childrenOf(long id);
}
