package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.RecordedUsage;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import io.github.volatilesnapshotter.superblock.Witness;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeoutException;

/**
 * Makes a layer of an active snapshot: data, then names, then the record are brought to disk, in this order, so that a record
 * never names a layer that is not there. The caller holds the key's lock.
 */
final class Committer {
    private static final System.Logger LOG = System.getLogger(Committer.class.getName());

    private final SnapshotStore store;
    private final Layout layout;
    private final Uppers uppers;
    private final LayerSync layerSync;
    private final Poisoner poisoner;
    private final LostLayers lostLayers;
    private final Inquiry inquiry;
    private final Usages usages;
    private final Machine machine;

    Committer(
            SnapshotStore store,
            Layout layout,
            Uppers uppers,
            LayerSync layerSync,
            Poisoner poisoner,
            LostLayers lostLayers,
            Inquiry inquiry,
            Usages usages,
            Machine machine) {
        this.store = store;
        this.layout = layout;
        this.uppers = uppers;
        this.layerSync = layerSync;
        this.poisoner = poisoner;
        this.lostLayers = lostLayers;
        this.inquiry = inquiry;
        this.usages = usages;
        this.machine = machine;
    }

    /**
     * Returns when the layer and its record are on disk.
     *
     * @param labels of the layer: it inherits none of the active's
     * @throws SnapshotException if the snapshot stays active; FAILED_PRECONDITION also says that it is poisoned
     */
    void commit(CommitRule rule, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException, MetadataException {
        SnapshotRecord active = rule.check(store);
        poisoner.refusePoisoned(active);
        lostLayers.lookAndRefuse(rule.key(), active.hasParent() ? store.chain(active.parentId()) : List.of());
        RecordedUsage usage = sync(active, rule.name(), cancellation);
        boolean isLayer = false;
        boolean mayBeRecorded = false;
        try {
            record(rule, labels, usage, cancellation);
            isLayer = true;
        } catch (MetadataException e) {
            mayBeRecorded = e.reason() == MetadataException.Reason.FAILED;
            throw e;
        } finally {
            poisoner.endCommit(active.id(), isLayer);
            // Where a write has failed a start may find the record, and then its layer should have its mark.
            if (!isLayer && !mayBeRecorded) {
                new CommittedMark(layout, active.id(), rule.name()).takeBack();
            }
        }
        tidy(active.id(), rule.key());
    }

    /**
     * Returns what it holds when the upper is on disk and nothing of it was lost on the way; if something was, the snapshot is poisoned. A
     * machine that is out of space or descriptors has lost nothing: then the snapshot stays as it is.
     */
    private RecordedUsage sync(SnapshotRecord active, String name, Cancellation cancellation) throws SnapshotException {
        long id = active.id();
        List<SnapshotRecord> parents = active.hasParent() ? store.chain(active.parentId()) : List.of();
        List<Path> lower =
                parents.stream().map(parent -> layout.upper(parent.id())).toList();
        LayerSync.Layer layer = new LayerSync.Layer(id, active.key(), name, lower, cancellation);
        Optional<VolatileOverlay> overlay = uppers.overlay(id);
        Optional<Witness> witness = uppers.witness(id);
        try {
            if (overlay.isPresent()) {
                return layerSync.syncVolatile(layer, overlay.get());
            }
            if (witness.isPresent()) {
                return layerSync.syncDurable(layer, witness.get());
            }
            throw new IllegalStateException(active.key() + " has neither overlay nor witness and is not poisoned");
        } catch (SyscallException e) {
            if (!Failures.meansLostWrite(e)) {
                throw Failures.of(active.key(), e);
            }
            inquiry.lostWrite(id, e.errno());
            throw new SnapshotException(
                    Category.FAILED_PRECONDITION,
                    "snapshot " + active.key() + " could not be brought to disk on " + machine.superblock()
                            + " and is poisoned: " + e.getMessage(),
                    e);
        } catch (SuperblockUnavailableException e) {
            throw Failures.of(active.key(), e);
        } catch (TimeoutException e) {
            throw new SnapshotException(
                    Category.UNAVAILABLE, "snapshot " + active.key() + " is not committed: " + e.getMessage(), e);
        }
    }

    /**
     * A caller who has gone was told that the snapshot stays active: containerd takes its own half of the Commit back, and would
     * never find the active again.
     */
    private void record(CommitRule rule, Map<String, String> labels, RecordedUsage usage, Cancellation cancellation)
            throws SnapshotException, MetadataException {
        var _ = store.<SnapshotRecord, SnapshotException>durable(transaction -> {
            SnapshotRecord active = rule.check(transaction::find);
            if (cancellation.isCancelled()) {
                throw new SnapshotException(
                        Category.CANCELLED, "snapshot " + rule.key() + " stays active: nobody waits for its commit");
            }
            lostLayers.refuseWithdrawn(transaction, active);
            poisoner.beginCommit(active);
            Instant now = Instant.now();
            SnapshotRecord committed = active.withKey(rule.name())
                    .withKind(RecordKind.COMMITTED)
                    .withCreatedAt(now)
                    .withUpdatedAt(now)
                    .withLabels(LabelChange.stored(labels))
                    .withUpper(null)
                    .withUsage(usage);
            transaction.replace(committed);
            return committed;
        });
        CrashPoint.COMMIT_RECORDED.reached();
    }

    /** The layer is committed; what it does not need any more goes. Nothing here can take the Commit back. */
    private void tidy(long id, String key) {
        usages.forget(id);
        layerSync.forget(id);
        try {
            uppers.becomeLayer(id);
        } catch (SyscallException e) {
            LOG.log(WARNING, "snapshot " + key + " is committed, but its overlay could not be detached yet", e);
        }
    }
}
