package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/**
 * What must hold for a Commit, in the order in which containerd checks it ({@code core/snapshots/storage/bolt.go},
 * CommitActive). Asked before the sync, so that a mistake costs nothing, and again inside the transaction.
 *
 * @param parent the name that a rebase asks for, or empty
 */
record CommitRule(String name, String key, String parent) {
    /** As {@link #check(Function)}, of one moment: an answer of which each half was true at another moment is none. */
    SnapshotRecord check(SnapshotStore store) throws SnapshotException {
        Map<String, SnapshotRecord> records = store.find(List.of(name, key, parent));
        return check(wanted -> Optional.ofNullable(records.get(wanted)));
    }

    /** The active as it is to be committed: still with its key and kind, its parent already the new one. */
    SnapshotRecord check(Function<String, Optional<SnapshotRecord>> records) throws SnapshotException {
        if (records.apply(name).isPresent()) {
            throw new SnapshotException(Category.ALREADY_EXISTS, "committed snapshot " + name + " exists already");
        }
        SnapshotRecord active = records.apply(key).orElseThrow(() -> Failures.notFound(key));
        if (active.kind() != RecordKind.ACTIVE) {
            throw new SnapshotException(
                    Category.FAILED_PRECONDITION,
                    "snapshot " + key + " is " + active.kind().name().toLowerCase(Locale.ROOT)
                            + ", only an active one can be committed");
        }
        return parent.isEmpty() ? active : rebased(active, records);
    }

    private SnapshotRecord rebased(SnapshotRecord active, Function<String, Optional<SnapshotRecord>> records)
            throws SnapshotException {
        Optional<SnapshotRecord> wanted = records.apply(parent);
        if (active.hasParent()) {
            if (wanted.isPresent() && wanted.get().id() == active.parentId()) {
                return active;
            }
            throw new SnapshotException(
                    Category.INVALID_ARGUMENT,
                    "snapshot " + key + " was prepared on another parent than " + parent + ": it can't be rebased");
        }
        SnapshotRecord base = wanted.orElseThrow(() -> new SnapshotException(
                Category.NOT_FOUND, "parent " + parent + " of snapshot " + key + " does not exist"));
        if (base.kind() != RecordKind.COMMITTED) {
            throw new SnapshotException(
                    Category.FAILED_PRECONDITION, "parent " + parent + " of snapshot " + key + " is not committed");
        }
        return active.withParentId(base.id());
    }
}
