package io.github.volatilesnapshotter.snapshot;

import java.time.Instant;
import java.util.Map;

/**
 * What Stat and List tell of one snapshot.
 *
 * @param name the key of a view or an active, the name of a committed snapshot
 * @param parent the parent's name, empty if there is none
 * @param labels the client's labels, and those that this snapshotter adds (see {@link Labels})
 */
public record SnapshotInfo(
        String name, String parent, Kind kind, Instant createdAt, Instant updatedAt, Map<String, String> labels) {
    public SnapshotInfo {
        labels = Map.copyOf(labels);
    }
}
