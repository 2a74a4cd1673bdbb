package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.linux.Whiteouts;
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
        SnapshotRecord active = rule.check(store::find);
        poisoner.refusePoisoned(active);
        lostLayers.lookAndRefuse(rule.key(), active.hasParent() ? store.chain(active.parentId()) : List.of());
        sync(active, rule.name());
        RecordedUsage usage = usages.count(active.id(), rule.key(), cancellation);
        record(rule, labels, usage, cancellation);
        tidy(active.id(), rule.key());
    }

    /**
     * Returns when the upper is on disk and nothing of it was lost on the way; if something was, the snapshot is poisoned. A
     * machine that is out of space or descriptors has lost nothing: then the snapshot stays as it is.
     */
    private void sync(SnapshotRecord active, String name) throws SnapshotException {
        long id = active.id();
        Optional<VolatileOverlay> overlay = uppers.overlay(id);
        Optional<Witness> witness = uppers.witness(id);
        try {
            if (overlay.isPresent()) {
                layerSync.syncVolatile(id, name, overlay.get());
            } else if (witness.isPresent()) {
                removeIdleWhiteouts(active);
                layerSync.syncDurable(id, name, witness.get());
            } else {
                throw new IllegalStateException(active.key() + " has neither overlay nor witness and is not poisoned");
            }
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
     * The applier of a layer without parent does not know what the layer will stand on, and the kernel shows a whiteout that
     * hides nothing. Once the layer's place is known they go; a later try gives it no other place, because containerd names the
     * same parent.
     */
    private void removeIdleWhiteouts(SnapshotRecord active) throws SyscallException {
        List<SnapshotRecord> parents = active.hasParent() ? store.chain(active.parentId()) : List.of();
        List<Path> lower =
                parents.stream().map(parent -> layout.upper(parent.id())).toList();
        int removed = Whiteouts.removeIdle(layout.upper(active.id()), lower);
        if (removed > 0) {
            LOG.log(INFO, "removed whiteouts that hide nothing", "key", active.key(), "count", removed);
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
            poisoner.refusePoisoned(active);
            if (cancellation.isCancelled()) {
                throw new SnapshotException(
                        Category.CANCELLED, "snapshot " + rule.key() + " stays active: nobody waits for its commit");
            }
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
            LOG.log(WARNING, "snapshot " + key + " is committed, but its work directory could not be thrown away", e);
        }
    }
}
