package io.github.volatilesnapshotter.snapshot;

/** Every label that this snapshotter reads or adds. */
public final class Labels {
    private Labels() {}

    /** Given by containerd to a snapshot that will become a layer: the name it will be committed as. */
    public static final String SNAPSHOT_REF = "containerd.io/snapshot.ref";

    /** {@code true} or {@code false}: asks for a volatile or a durable active, whatever the default. */
    public static final String VOLATILE = "containerd.io/snapshot/volatile";

    /** Prior art of nydus-snapshotter: its presence asks for a volatile active. */
    public static final String OVERLAY_VOLATILE = "containerd.io/snapshot/overlay.volatile";

    public static final String UID_MAPPING = "containerd.io/snapshot/uidmapping";
    public static final String GID_MAPPING = "containerd.io/snapshot/gidmapping";

    /** Added to a poisoned snapshot: the reason. */
    public static final String POISONED = "containerd.io/snapshot/volatile.poisoned";

    /** Added to a poisoned snapshot: when, ISO 8601 in UTC. */
    public static final String POISONED_AT = "containerd.io/snapshot/volatile.poisoned-at";

    /** Added to a poisoned snapshot and to one whose upper was thrown away before: how often. */
    public static final String GENERATION = "containerd.io/snapshot/volatile.generation";
}
