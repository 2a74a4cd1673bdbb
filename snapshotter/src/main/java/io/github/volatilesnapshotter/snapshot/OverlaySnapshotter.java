package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.metrics.Metrics.CleanupOutcome;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The snapshotter: a store of records, and directories and mounts that follow it. Prepare, View, Mounts and Update are
 * here; Commit is {@link Committer}'s, Remove {@link Remover}'s, what is only read {@link SnapshotReads}', and what the kernel says of uppers {@link
 * Inquiry}'s.
 *
 * <p>The order of steps decides what a crash leaves behind. Prepare makes directory and mount first and the record last: a
 * directory without a record was never acknowledged. Commit brings data, then names, then the record to disk. Remove deletes the
 * record first: a committed layer's durably, because a record should not name a layer that is gone; on a full filesystem {@link Remover}
 * has another order.
 *
 * <p>Every method that changes a snapshot holds its key's lock, so that two of them never meet; none holds a transaction while
 * it mounts, syncs or walks a tree. Mounts, Stat, List and Usage wait for nobody.
 */
final class OverlaySnapshotter implements Snapshotter {
    private static final System.Logger LOG = System.getLogger(OverlaySnapshotter.class.getName());

    private final SnapshotterSettings settings;
    private final SnapshotStore store;
    private final Uppers uppers;
    private final OpenUppers openUppers;
    private final Poisoner poisoner;
    private final Inquiry inquiry;
    private final Trash trash;
    private final LostLayers lostLayers;
    private final Machine machine;
    private final Metrics metrics;
    private final Admission admission;
    private final SnapshotMounts mounts;
    private final SnapshotReads reads;
    private final Committer committer;
    private final Remover remover;
    private final KeyLocks locks;

    OverlaySnapshotter(
            SnapshotterSettings settings,
            Layout layout,
            SnapshotStore store,
            Uppers uppers,
            OpenUppers openUppers,
            Poisoner poisoner,
            Inquiry inquiry,
            LayerSync layerSync,
            Usages usages,
            Trash trash,
            LostLayers lostLayers,
            Machine machine,
            Admission admission,
            Metrics metrics) {
        this.settings = settings;
        this.store = store;
        this.uppers = uppers;
        this.openUppers = openUppers;
        this.poisoner = poisoner;
        this.inquiry = inquiry;
        this.trash = trash;
        this.lostLayers = lostLayers;
        this.machine = machine;
        this.metrics = metrics;
        this.admission = admission;
        this.mounts = new SnapshotMounts(layout);
        this.reads = new SnapshotReads(store, new Infos(poisoner, lostLayers), usages);
        this.committer =
                new Committer(store, layout, uppers, layerSync, poisoner, lostLayers, inquiry, usages, machine);
        this.remover = new Remover(store, uppers, trash, poisoner, lostLayers, layerSync, usages, machine, metrics);
        this.locks = new KeyLocks(settings.keyWaitMillis(), metrics::lockTimedOut);
    }

    @Override
    public List<Mount> prepare(String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException {
        Requests.checkKey("key", key);
        Requests.checkLabels(labels);
        PrepareRule rule = new PrepareRule(key, parent);
        try (KeyLocks.Held _ = beginChange(key);
                OpenUppers.Room _ = openUppers.reserve(key)) {
            refuseCancelled(key, cancellation);
            List<SnapshotRecord> parents = rule.check(store);
            if (lostLayers.among(parents).isPresent()) {
                lostLayers.lookAndRefuse(key, parents);
            }
            List<Path> lower = mounts.lower(parents);
            Role role = admission.roleOf(key, labels);
            if (role == Role.DURABLE) {
                // The client mounts it; of a volatile one's layers the kernel tells us what is gone.
                lostLayers.lookAndRefuse(key, parents);
            }
            long id = store.newId();
            CrashPoint.ID_GIVEN.reached();
            try {
                switch (role) {
                    case DURABLE -> uppers.createDurable(id, lower);
                    case VOLATILE -> uppers.createVolatile(id, lower);
                }
                SnapshotRecord snapshot =
                        newRecord(id, key, RecordKind.ACTIVE, parents, labels).withUpper(machine.newUpper(role));
                insert(snapshot, rule);
                inquiry.lookAtNew(id);
                return mounts.of(snapshot, parents);
            } catch (SnapshotException
                    | MetadataException
                    | SyscallException
                    | SuperblockUnavailableException
                    | RuntimeException e) {
                undoPrepare(id, e);
                throw e;
            }
        } catch (MetadataException e) {
            throw failed(key, e);
        } catch (SyscallException e) {
            admission.suspect(e.errno());
            if (e.errno().is(Errno.ENOENT)) {
                // A parent that was removed meanwhile, or a layer's directory that was taken away, explains it, and is
                // told as such.
                lostLayers.lookAndRefuse(key, rule.check(store));
            }
            throw Failures.of(key, e);
        } catch (SuperblockUnavailableException e) {
            throw Failures.of(key, e);
        }
    }

    private static void refuseCancelled(String key, Cancellation cancellation) throws SnapshotException {
        if (cancellation.isCancelled()) {
            throw new SnapshotException(Category.CANCELLED, "snapshot " + key + " is not made: nobody waits for it");
        }
    }

    private SnapshotException failed(String key, MetadataException failure) {
        admission.suspect(failure);
        return Failures.of(key, failure);
    }

    /** The caller is the only one that changes the key; nobody is let in while every change would wait for a disk that hangs. */
    private KeyLocks.Held beginChange(String key) throws SnapshotException {
        admission.refuseWhileHung(key);
        return locks.hold(key);
    }

    /** What can't be moved to the trash now is so later; it is a directory without a record, which the next start finds as well. */
    private void undoPrepare(long id, Exception cause) {
        try {
            uppers.throwAway(id);
        } catch (SyscallException e) {
            LOG.log(WARNING, "the overlay of snapshot " + id + ", which failed, could not be detached yet", e);
            cause.addSuppressed(e);
        }
    }

    /** A view needs no directory of its own: it shows its parents', or the empty one. */
    @Override
    public List<Mount> view(String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException {
        Requests.checkKey("key", key);
        Requests.checkLabels(labels);
        PrepareRule rule = new PrepareRule(key, parent);
        try (KeyLocks.Held _ = beginChange(key)) {
            refuseCancelled(key, cancellation);
            List<SnapshotRecord> parents = rule.check(store);
            lostLayers.lookAndRefuse(key, parents);
            SnapshotRecord snapshot = newRecord(store.newId(), key, RecordKind.VIEW, parents, labels);
            insert(snapshot, rule);
            return mounts.of(snapshot, parents);
        } catch (MetadataException e) {
            throw failed(key, e);
        }
    }

    private SnapshotRecord newRecord(
            long id, String key, RecordKind kind, List<SnapshotRecord> parents, Map<String, String> labels) {
        Instant now = Instant.now();
        long parentId = parents.isEmpty()
                ? SnapshotRecord.NO_PARENT
                : parents.getFirst().id();
        return new SnapshotRecord(
                id, key, kind, parentId, now, now, LabelChange.stored(labels), Machine.POOL, null, null, null);
    }

    private void insert(SnapshotRecord snapshot, PrepareRule rule) throws SnapshotException, MetadataException {
        var _ = store.<SnapshotRecord, SnapshotException>ordered(transaction -> {
            rule.checkAgain(transaction, snapshot);
            lostLayers.refuseWithdrawn(transaction, snapshot);
            transaction.insert(snapshot);
            return snapshot;
        });
        CrashPoint.PREPARE_RECORDED.reached();
    }

    @Override
    public List<Mount> mounts(String key) throws SnapshotException {
        Requests.checkKey("key", key);
        // Without the key's lock: nothing is changed, and while a Commit syncs the mounts are what they were.
        inquiry.ask(reads.find(key).id());
        List<SnapshotRecord> chain = store.chain(key);
        if (chain.isEmpty()) {
            throw Failures.notFound(key);
        }
        SnapshotRecord snapshot = chain.getFirst();
        if (snapshot.kind() == RecordKind.COMMITTED) {
            throw new SnapshotException(
                    Category.FAILED_PRECONDITION, "snapshot " + key + " is committed: it has no mounts, make a view");
        }
        poisoner.refusePoisoned(snapshot);
        reads.requireThere(snapshot);
        if (lostLayers.contains(snapshot.id())) {
            throw new SnapshotException(
                    Category.FAILED_PRECONDITION,
                    "snapshot " + key + " has no mounts: its removal has begun, and its directory is gone");
        }
        List<SnapshotRecord> parents = chain.subList(1, chain.size());
        Optional<VolatileOverlay> overlay = uppers.overlay(snapshot.id());
        if (overlay.isEmpty()) {
            lostLayers.refuse(key, parents);
        } else {
            refuseMisplaced(key, overlay.get());
        }
        return mounts.of(snapshot, parents);
    }

    /** A client would write into whatever is seen in the overlay's place, and nobody would ever see that again. */
    private void refuseMisplaced(String key, VolatileOverlay overlay) throws SnapshotException {
        try {
            if (overlay.isInPlace()) {
                return;
            }
        } catch (SyscallException e) {
            admission.suspect(e.errno());
            throw Failures.of(key, e);
        }
        String message = "snapshot " + key + ": its overlay is not what is mounted at " + overlay.mountPoint() + ": "
                + DisplacedOverlays.ADVICE;
        LOG.log(WARNING, message);
        throw new SnapshotException(Category.FAILED_PRECONDITION, message);
    }

    @Override
    public void commit(String name, String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException {
        Requests.checkKey("name", name);
        Requests.checkKey("key", key);
        Requests.checkLabels(labels);
        long begunNanos = System.nanoTime();
        try (KeyLocks.Held _ = beginChange(key)) {
            committer.commit(new CommitRule(name, key, parent), labels, cancellation);
        } catch (MetadataException e) {
            throw failed(key, e);
        } finally {
            metrics.commitTook(System.nanoTime() - begunNanos);
        }
    }

    @Override
    public void remove(String key) throws SnapshotException {
        Requests.checkKey("key", key);
        try (KeyLocks.Held _ = beginChange(key)) {
            remover.remove(reads.find(key));
        } catch (MetadataException e) {
            throw e.isDiskFull() ? Failures.noRoomToRemove(key, e) : failed(key, e);
        }
    }

    @Override
    public SnapshotInfo stat(String key) throws SnapshotException {
        Requests.checkKey("key", key);
        inquiry.askInPassing(reads.find(key).id());
        SnapshotRecord snapshot = reads.find(key);
        SnapshotInfo info = reads.info(snapshot);
        reads.requireThere(snapshot);
        return info;
    }

    @Override
    public SnapshotInfo update(String key, Map<String, String> labels, List<String> fieldPaths)
            throws SnapshotException {
        Requests.checkKey("key", key);
        Requests.checkLabels(labels);
        SnapshotStore.Work<SnapshotRecord, SnapshotException> change = transaction -> {
            SnapshotRecord found = transaction.find(key).orElseThrow(() -> Failures.notFound(key));
            SnapshotRecord changed = found.withLabels(LabelChange.apply(key, found.labels(), labels, fieldPaths))
                    .withUpdatedAt(Instant.now());
            transaction.replace(changed);
            return changed;
        };
        try (KeyLocks.Held _ = beginChange(key)) {
            boolean isCommitted = reads.find(key).kind() == RecordKind.COMMITTED;
            SnapshotRecord changed = isCommitted ? store.durable(change) : store.ordered(change);
            CrashPoint.UPDATE_RECORDED.reached();
            return reads.info(changed);
        } catch (MetadataException e) {
            throw failed(key, e);
        }
    }

    @Override
    public Iterator<SnapshotInfo> list(List<String> filters) throws SnapshotException {
        return reads.list(filters);
    }

    @Override
    public Optional<Usage> recordedUsage(String key) throws SnapshotException {
        Requests.checkKey("key", key);
        return reads.recordedUsage(key);
    }

    @Override
    public Usage usage(String key, Cancellation cancellation) throws SnapshotException {
        Requests.checkKey("key", key);
        if (reads.find(key).kind() == RecordKind.ACTIVE) {
            // It is counted on the disk, and the others are recorded.
            admission.refuseWhileHung(key);
        }
        return reads.usage(key, cancellation);
    }

    /**
     * OK also where directories are left, which then is logged and counted: they are removed for whoever asks, and their space comes back by
     * itself. An error would change nothing. containerd calls this once after a garbage collection, gives up nothing and repeats nothing if
     * it fails, and would log a collection that has failed (core/metadata/db.go, cleanupSnapshotter).
     */
    @Override
    public void cleanup() throws SnapshotException {
        try {
            boolean isEmptied = trash.awaitSweep(settings.cleanupTimeoutMillis());
            metrics.cleanedUp(isEmptied ? CleanupOutcome.DONE : CleanupOutcome.LEFT);
            if (!isEmptied) {
                LOG.log(WARNING, "cleanup leaves directories in the trash for later", "waiting", trash.waiting());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new SnapshotException(Category.CANCELLED, "cleanup was interrupted", e);
        }
    }
}
