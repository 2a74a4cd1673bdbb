/**
 * Records of snapshots, the transactions that change them, and containerd's filter language. Knows no other room but {@code crash}.
 *
 * <p>{@link SnapshotStore} says what is promised, {@code SqliteFile} how SQLite keeps it; docs/decisions/0002-metadata.md says why.
 * A change of the tables is a new step in {@code Schema}: a step that was released never changes.
 */
@NullMarked
package io.github.volatilesnapshotter.metadata;

import org.jspecify.annotations.NullMarked;
