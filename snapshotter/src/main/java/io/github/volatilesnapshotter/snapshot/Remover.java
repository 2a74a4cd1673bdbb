package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.metrics.Metrics.FullDiskOutcome;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Remove: the record goes first, a committed layer's durably, because a record must never name a layer that is gone; then the mount; then
 * the directory, into the trash. A crash leaves a directory without a record, which the next start throws away.
 *
 * <p>But a filesystem that is full has no room for the record either, and what a user does about that is to remove something. So then the
 * directory goes first, and is deleted, and the record when that has made room. A crash in between leaves a record without a directory: a
 * snapshot that is {@code missing}, or a lost layer, which can be removed as before.
 */
final class Remover {
    private static final System.Logger LOG = System.getLogger(Remover.class.getName());

    /** How long a removal waits for the room that it makes itself. */
    private static final long ROOM_WAIT_MILLIS = 10_000;

    /** From one try of the record to the next. */
    private static final long ROOM_POLL_MILLIS = 100;

    private final SnapshotStore store;
    private final Uppers uppers;
    private final Trash trash;
    private final Poisoner poisoner;
    private final LostLayers lostLayers;
    private final LayerSync layerSync;
    private final Usages usages;
    private final Machine machine;
    private final Metrics metrics;

    Remover(
            SnapshotStore store,
            Uppers uppers,
            Trash trash,
            Poisoner poisoner,
            LostLayers lostLayers,
            LayerSync layerSync,
            Usages usages,
            Machine machine,
            Metrics metrics) {
        this.store = store;
        this.uppers = uppers;
        this.trash = trash;
        this.poisoner = poisoner;
        this.lostLayers = lostLayers;
        this.layerSync = layerSync;
        this.usages = usages;
        this.machine = machine;
        this.metrics = metrics;
    }

    /**
     * The caller holds the key's lock.
     *
     * @throws SnapshotException NOT_FOUND, or FAILED_PRECONDITION if something stands on it
     * @throws MetadataException if the record stays; of a full filesystem, the directory may be gone
     */
    void remove(SnapshotRecord snapshot) throws SnapshotException, MetadataException {
        try {
            deleteRecord(snapshot);
        } catch (MetadataException e) {
            if (!e.isDiskFull() || snapshot.kind() == RecordKind.VIEW) {
                throw e;
            }
            removeDirectoryFirst(snapshot);
        }
        CrashPoint.REMOVE_RECORDED.reached();
        usages.forget(snapshot.id());
        poisoner.forget(snapshot.id());
        lostLayers.forget(snapshot.id());
        layerSync.forget(snapshot.id());
        if (snapshot.kind() != RecordKind.VIEW) {
            throwAway(snapshot);
        }
    }

    private void deleteRecord(SnapshotRecord snapshot) throws SnapshotException, MetadataException {
        SnapshotStore.Work<SnapshotRecord, SnapshotException> deletion = transaction -> {
            SnapshotRecord found = removable(transaction, snapshot.key());
            transaction.delete(found.id());
            return found;
        };
        if (snapshot.kind() == RecordKind.COMMITTED) {
            var _ = store.durable(deletion);
        } else {
            var _ = store.ordered(deletion);
        }
    }

    private static SnapshotRecord removable(SnapshotStore.Transaction transaction, String key)
            throws SnapshotException {
        SnapshotRecord found = transaction.find(key).orElseThrow(() -> Failures.notFound(key));
        if (transaction.hasChildren(found.id())) {
            throw new SnapshotException(
                    Category.FAILED_PRECONDITION, "cannot remove snapshot " + key + ": it has children");
        }
        return found;
    }

    /** What can't be moved to the trash, or detached, now is so later. */
    private void throwAway(SnapshotRecord snapshot) {
        try {
            uppers.throwAway(snapshot.id());
        } catch (SyscallException e) {
            LOG.log(WARNING, "the overlay of snapshot " + snapshot.key() + ", which is removed, is still mounted", e);
        }
    }

    private void removeDirectoryFirst(SnapshotRecord snapshot) throws SnapshotException, MetadataException {
        LOG.log(
                WARNING,
                "no room to record a removal: what is removed makes room first",
                "key",
                snapshot.key(),
                "id",
                snapshot.id());
        var _ = store.<SnapshotRecord, SnapshotException>ordered(transaction -> {
            SnapshotRecord found = removable(transaction, snapshot.key());
            // Whatever is inserted from now on finds it withdrawn.
            lostLayers.withdraw(found.id());
            return found;
        });
        throwAway(snapshot);
        boolean isDeleted = false;
        try {
            deleteRecordWhenThereIsRoom(snapshot);
            isDeleted = true;
        } finally {
            metrics.removedOnFullDisk(isDeleted ? FullDiskOutcome.DONE : FullDiskOutcome.REFUSED);
            if (!isDeleted) {
                staysWithoutDirectory(snapshot);
            }
        }
    }

    private void staysWithoutDirectory(SnapshotRecord snapshot) {
        if (snapshot.kind() == RecordKind.ACTIVE) {
            var _ = poisoner.condemn(
                    List.of(new Poisoner.Verdict(snapshot.id(), PoisonReason.MISSING, null, machine.superblock())));
            poisoner.recordSoon();
            return;
        }
        try {
            lostLayers.lookAt(snapshot);
        } catch (SyscallException e) {
            LOG.log(WARNING, "can't look for the directory of layer " + snapshot.key(), e);
        }
    }

    private void deleteRecordWhenThereIsRoom(SnapshotRecord snapshot) throws SnapshotException, MetadataException {
        long deadlineNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(ROOM_WAIT_MILLIS);
        try {
            while (true) {
                long begunNanos = System.nanoTime();
                boolean _ = trash.awaitSweep(ROOM_POLL_MILLIS);
                try {
                    deleteRecord(snapshot);
                    return;
                } catch (MetadataException e) {
                    if (!e.isDiskFull() || System.nanoTime() - deadlineNanos >= 0) {
                        throw e;
                    }
                }
                // All was deleted, and others may have taken the room, or the filesystem gives it back later.
                TimeUnit.NANOSECONDS.sleep(
                        TimeUnit.MILLISECONDS.toNanos(ROOM_POLL_MILLIS) - (System.nanoTime() - begunNanos));
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new SnapshotException(
                    Category.CANCELLED, "removal of snapshot " + snapshot.key() + " was interrupted", e);
        }
    }
}
