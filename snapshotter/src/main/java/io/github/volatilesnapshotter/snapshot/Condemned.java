package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.Poison;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import java.time.Instant;

/**
 * A snapshot that was poisoned a moment ago.
 *
 * @param isRecorded false if that was tried and could not be done: the poison holds in memory
 * @param at when that was known
 */
record Condemned(SnapshotRecord snapshot, Poison poison, boolean isRecorded, Instant at) {}
