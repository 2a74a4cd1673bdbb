package io.github.volatilesnapshotter.metadata;

/** containerd's kinds of snapshot, as a record holds them. */
public enum RecordKind {
    VIEW,
    ACTIVE,
    COMMITTED
}
