package io.github.volatilesnapshotter.metadata;

import java.time.Instant;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * All that is recorded of one snapshot. A value: a change is a copy, given to {@link SnapshotStore.Transaction#replace}.
 *
 * @param id names the snapshot's directory; above 0, never given twice, kept when the snapshot is committed
 * @param key the backend key of a view or an active, the name of a committed snapshot; one key space for all kinds
 * @param parentId id of the committed snapshot it stands on, 0 if there is none
 * @param createdAt kept to the nanosecond
 * @param updatedAt kept to the nanosecond
 * @param pool name of the pool that the snapshot's directory lies in
 * @param upper of an active; null for views and committed snapshots
 * @param poison null while the content can be trusted
 * @param usage of a committed snapshot; null for the others
 */
public record SnapshotRecord(
        long id,
        String key,
        RecordKind kind,
        long parentId,
        Instant createdAt,
        Instant updatedAt,
        Map<String, String> labels,
        String pool,
        @Nullable Upper upper,
        @Nullable Poison poison,
        @Nullable RecordedUsage usage) {
    /** The {@link #parentId} of a snapshot that stands on none. */
    public static final long NO_PARENT = 0;

    public SnapshotRecord {
        labels = Map.copyOf(labels);
    }

    public boolean hasParent() {
        return parentId != NO_PARENT;
    }

    public SnapshotRecord withKey(String newKey) {
        return new SnapshotRecord(id, newKey, kind, parentId, createdAt, updatedAt, labels, pool, upper, poison, usage);
    }

    public SnapshotRecord withKind(RecordKind newKind) {
        return new SnapshotRecord(id, key, newKind, parentId, createdAt, updatedAt, labels, pool, upper, poison, usage);
    }

    public SnapshotRecord withParentId(long newParentId) {
        return new SnapshotRecord(id, key, kind, newParentId, createdAt, updatedAt, labels, pool, upper, poison, usage);
    }

    public SnapshotRecord withCreatedAt(Instant newCreatedAt) {
        return new SnapshotRecord(id, key, kind, parentId, newCreatedAt, updatedAt, labels, pool, upper, poison, usage);
    }

    public SnapshotRecord withUpdatedAt(Instant newUpdatedAt) {
        return new SnapshotRecord(id, key, kind, parentId, createdAt, newUpdatedAt, labels, pool, upper, poison, usage);
    }

    public SnapshotRecord withLabels(Map<String, String> newLabels) {
        return new SnapshotRecord(id, key, kind, parentId, createdAt, updatedAt, newLabels, pool, upper, poison, usage);
    }

    public SnapshotRecord withPool(String newPool) {
        return new SnapshotRecord(id, key, kind, parentId, createdAt, updatedAt, labels, newPool, upper, poison, usage);
    }

    public SnapshotRecord withUpper(@Nullable Upper newUpper) {
        return new SnapshotRecord(id, key, kind, parentId, createdAt, updatedAt, labels, pool, newUpper, poison, usage);
    }

    public SnapshotRecord withPoison(@Nullable Poison newPoison) {
        return new SnapshotRecord(id, key, kind, parentId, createdAt, updatedAt, labels, pool, upper, newPoison, usage);
    }

    public SnapshotRecord withUsage(@Nullable RecordedUsage newUsage) {
        return new SnapshotRecord(id, key, kind, parentId, createdAt, updatedAt, labels, pool, upper, poison, newUsage);
    }
}
