package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Committed snapshots whose directory is gone. Their records stay: containerd has its own, and could not repair a layer that this
 * snapshotter no longer knows (it skips the layer in every pull). What would stand on one is refused, with what to do, so that no container
 * ever sees less than its image. Found anew by each start, and not recorded: a directory may come back. Any thread.
 */
final class LostLayers {
    /** And what to do; to be put behind what is gone. */
    static final String IS_GONE = " is gone: remove the containers and images that use it, and pull them again";

    private final Set<Long> ids = ConcurrentHashMap.newKeySet();

    void add(long id) {
        ids.add(id);
    }

    /** The snapshot is removed. */
    void forget(long id) {
        ids.remove(id);
    }

    boolean contains(long id) {
        return ids.contains(id);
    }

    int count() {
        return ids.size();
    }

    /** The uppermost of the layers that is lost. */
    Optional<SnapshotRecord> among(List<SnapshotRecord> layers) {
        return ids.isEmpty()
                ? Optional.empty()
                : layers.stream().filter(layer -> ids.contains(layer.id())).findFirst();
    }

    /** @throws SnapshotException FAILED_PRECONDITION if one of the layers below {@code key} is lost */
    void refuse(String key, List<SnapshotRecord> layers) throws SnapshotException {
        Optional<SnapshotRecord> lost = among(layers);
        if (lost.isPresent()) {
            throw new SnapshotException(Category.FAILED_PRECONDITION, "snapshot " + key + " " + advice(lost.get()));
        }
    }

    static String advice(SnapshotRecord lost) {
        return "stands on layer " + lost.key() + ", whose directory snapshots/" + lost.id() + IS_GONE;
    }
}
