package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Committed snapshots whose directory is gone. Their records stay: containerd has its own, and could not repair a layer that this
 * snapshotter no longer knows (it skips the layer in every pull). What would stand on one is refused, with what to do, so that no container
 * ever sees less than its image. Found anew by each start, and not recorded: a directory may come back, then too. One that is taken away while the
 * daemon runs is found by whatever would stand on it, or by {@link LayerCheck#lookAgain}. Any thread.
 */
final class LostLayers {
    /** And what to do; to be put behind what is gone. */
    static final String IS_GONE =
            " is gone: remove the containers and images that use it (ctr image rm --sync), and pull them again";

    private static final System.Logger LOG = System.getLogger(LostLayers.class.getName());

    private final SnapshotStore store;
    private final Layout layout;
    private final Set<Long> ids = ConcurrentHashMap.newKeySet();

    /** Snapshots whose removal has begun, and which still have a record: as good as lost, whether their directory is there or not. */
    private final Set<Long> withdrawn = ConcurrentHashMap.newKeySet();

    LostLayers(SnapshotStore store, Layout layout) {
        this.store = store;
        this.layout = layout;
    }

    /** Returns false if the layer is removed meanwhile, and not lost. */
    boolean add(long id) {
        ids.add(id);
        // A Remove deletes the record before it calls forget.
        if (store.find(id).isEmpty()) {
            ids.remove(id);
            return false;
        }
        return true;
    }

    /** Looks whether the layer's directory is there, or again; asks the disk. Where the whole pool was unmounted no layer is lost. */
    void lookAt(SnapshotRecord layer) throws SyscallException {
        long id = layer.id();
        if (Entries.exists(layout.upper(id))) {
            if (ids.remove(id)) {
                LOG.log(INFO, "layer is there again", "id", id, "key", layer.key());
            }
        } else if (!ids.contains(id) && Entries.exists(layout.snapshots()) && add(id)) {
            LOG.log(WARNING, "layer is lost", "id", id, "key", layer.key(), "detail", layout.upper(id) + IS_GONE);
        }
    }

    /** As {@link #refuse}, after a look at each of the directories; asks the disk. */
    void lookAndRefuse(String key, List<SnapshotRecord> layers) throws SnapshotException {
        try {
            for (SnapshotRecord layer : layers) {
                lookAt(layer);
            }
        } catch (SyscallException e) {
            throw Failures.of(key, e);
        }
        refuse(key, layers);
    }

    /**
     * Nothing may stand on it any more. To be called within a transaction that has seen that nothing does: what is inserted later is refused
     * ({@link #refuseWithdrawn}).
     */
    void withdraw(long id) {
        withdrawn.add(id);
    }

    /** @throws SnapshotException FAILED_PRECONDITION if the layer right below the snapshot is withdrawn */
    void refuseWithdrawn(SnapshotStore.Transaction transaction, SnapshotRecord snapshot) throws SnapshotException {
        if (snapshot.hasParent() && withdrawn.contains(snapshot.parentId())) {
            refuse(
                    snapshot.key(),
                    transaction.find(snapshot.parentId()).stream().toList());
        }
    }

    /** The snapshot is removed. */
    void forget(long id) {
        ids.remove(id);
        withdrawn.remove(id);
    }

    boolean contains(long id) {
        return ids.contains(id) || withdrawn.contains(id);
    }

    int count() {
        return ids.size();
    }

    /** The uppermost of the layers that is lost. */
    Optional<SnapshotRecord> among(List<SnapshotRecord> layers) {
        return ids.isEmpty() && withdrawn.isEmpty()
                ? Optional.empty()
                : layers.stream().filter(layer -> contains(layer.id())).findFirst();
    }

    /** @throws SnapshotException FAILED_PRECONDITION if one of the layers below {@code key} is lost */
    void refuse(String key, List<SnapshotRecord> layers) throws SnapshotException {
        Optional<SnapshotRecord> lost = among(layers);
        if (lost.isPresent()) {
            throw new SnapshotException(Category.FAILED_PRECONDITION, "snapshot " + key + " " + advice(lost.get()));
        }
    }

    static String advice(SnapshotRecord lost) {
        return "stands on layer " + lost.key() + ", whose directory snapshots/" + lost.id() + "/fs" + IS_GONE;
    }
}
