package io.github.volatilesnapshotter.snapshot;

import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * containerd's snapshotter contract ({@code core/snapshots/snapshotter.go}): ten operations on keys. All may be called from any
 * thread; those that mount or sync block their caller. A {@link SnapshotException} carries the category that containerd's own
 * overlayfs snapshotter would answer with.
 */
public interface Snapshotter {
    /**
     * Makes an active snapshot. On return the record and the directories exist and, for a volatile one, its overlay is mounted.
     *
     * @param parent name of a committed snapshot, or empty
     * @param cancellation asked when nobody else changes the key any more: a client that gave up and then removed the key finds nothing later
     */
    List<Mount> prepare(String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException;

    /** For a client that waits. */
    default List<Mount> prepare(String key, String parent, Map<String, String> labels) throws SnapshotException {
        return prepare(key, parent, labels, Cancellation.NEVER);
    }

    /** Makes a read-only snapshot of a committed one; the cancellation as for {@link #prepare}. */
    List<Mount> view(String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException;

    /** For a client that waits. */
    default List<Mount> view(String key, String parent, Map<String, String> labels) throws SnapshotException {
        return view(key, parent, labels, Cancellation.NEVER);
    }

    /** The mounts of a view or an active; idempotent. Refused for a poisoned one. */
    List<Mount> mounts(String key) throws SnapshotException;

    /**
     * Turns the active {@code key} into the committed {@code name}. Returns after data, directory entries and record are on disk
     * and every writeback error since Prepare was looked for.
     *
     * @param parent empty, or the parent that an active without one gets (rebase)
     */
    void commit(String name, String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException;

    /** Removes a snapshot without children, in O(1); its files are deleted later. Flushes nothing for an active. */
    void remove(String key) throws SnapshotException;

    SnapshotInfo stat(String key) throws SnapshotException;

    /**
     * Changes labels, the only field that can change.
     *
     * @param fieldPaths {@code labels} or {@code labels.<key>}; empty replaces all labels
     */
    SnapshotInfo update(String key, Map<String, String> labels, List<String> fieldPaths) throws SnapshotException;

    /**
     * The snapshots that any of the filters selects, all if there is none. What the iterator gives is a consistent copy of the
     * moment of the call; no lock is held while it is drained.
     */
    Iterator<SnapshotInfo> list(List<String> filters) throws SnapshotException;

    /** What is known of a snapshot's usage without asking its disk: that of a committed one and of a view, and none of an active. */
    Optional<Usage> recordedUsage(String key) throws SnapshotException;

    /** Stored for a committed snapshot, counted for an active, zero for a view. */
    Usage usage(String key, Cancellation cancellation) throws SnapshotException;

    /**
     * Deletes the files of removed snapshots; returns when what was removed before the call is gone, or after a bounded time: what is left then is
     * deleted all the same.
     */
    void cleanup() throws SnapshotException;
}
