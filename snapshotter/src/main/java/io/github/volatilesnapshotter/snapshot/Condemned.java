package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.Poison;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import java.time.Instant;

/**
 * A snapshot that was poisoned a moment ago.
 *
 * @param recordedAt when its record was written, or could not be
 */
record Condemned(SnapshotRecord snapshot, Poison poison, Instant recordedAt) {}
