package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What must hold for a Prepare or a View: the key is free, and the parent is committed. Asked before anything is made, and again
 * inside the transaction.
 *
 * @param parent the parent's name, or empty
 */
record PrepareRule(String key, String parent) {
    /** overlayfs takes 500 lower layers (OVL_MAX_STACK). */
    private static final int MAX_LAYERS = 500;

    /** The layers that the snapshot will stand on, uppermost first. */
    List<SnapshotRecord> check(SnapshotStore store) throws SnapshotException {
        Map<String, SnapshotRecord> found = store.find(List.of(key, parent));
        refuseTaken(Optional.ofNullable(found.get(key)));
        if (parent.isEmpty()) {
            return List.of();
        }
        List<SnapshotRecord> layers =
                store.chain(committed(Optional.ofNullable(found.get(parent))).id());
        if (layers.isEmpty()) {
            throw missingParent(); // removed just now: a snapshot without any layer is not what was asked for
        }
        if (layers.size() > MAX_LAYERS) {
            throw new SnapshotException(
                    Category.INVALID_ARGUMENT,
                    "snapshot " + key + " would stand on " + layers.size() + " layers: overlayfs takes " + MAX_LAYERS);
        }
        return layers;
    }

    /** @param snapshot the one that is to be inserted */
    void checkAgain(SnapshotStore.Transaction transaction, SnapshotRecord snapshot) throws SnapshotException {
        refuseTaken(transaction.find(key));
        if (snapshot.hasParent()) {
            committed(transaction.find(snapshot.parentId()));
        }
    }

    private void refuseTaken(Optional<SnapshotRecord> found) throws SnapshotException {
        if (found.isPresent()) {
            throw new SnapshotException(Category.ALREADY_EXISTS, "snapshot " + key + " exists already");
        }
    }

    private SnapshotRecord committed(Optional<SnapshotRecord> found) throws SnapshotException {
        SnapshotRecord record = found.orElseThrow(this::missingParent);
        if (record.kind() != RecordKind.COMMITTED) {
            throw new SnapshotException(
                    Category.INVALID_ARGUMENT, "parent " + parent + " of snapshot " + key + " is not committed");
        }
        return record;
    }

    private SnapshotException missingParent() {
        return new SnapshotException(
                Category.NOT_FOUND, "parent " + parent + " of snapshot " + key + " does not exist");
    }
}
