package io.github.volatilesnapshotter.metadata;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A transaction while its work runs: the records before it, and the changes to them so far. Nothing is written before the work is
 * done, so that a transaction of one change is one SQL statement, and one that throws costs nothing.
 */
final class ChangeSet implements SnapshotStore.Transaction {
    private final RecordsSoFar earlier;
    private final RecordsSoFar soFar = new SoFar();
    private final SharedStrings strings;
    private final List<Change> changes = new ArrayList<>(2);
    private final Map<Long, Optional<SnapshotRecord>> changedById = new HashMap<>();
    private final Map<String, Optional<SnapshotRecord>> changedByKey = new HashMap<>();
    private final Map<Long, Integer> childrenGained = new HashMap<>();
    private boolean over;

    ChangeSet(RecordsSoFar earlier, SharedStrings strings) {
        this.earlier = earlier;
        this.strings = strings;
    }

    /** Ends the transaction for the work that used it. */
    List<Change> finish() {
        over = true;
        return changes;
    }

    /** The records as they are with the changes; also when the transaction is over, for one that is written together with it. */
    RecordsSoFar soFar() {
        return soFar;
    }

    @Override
    public Optional<SnapshotRecord> find(String key) {
        checkNotOver();
        return soFar.find(key);
    }

    @Override
    public Optional<SnapshotRecord> find(long id) {
        checkNotOver();
        return soFar.find(id);
    }

    @Override
    public boolean hasChildren(long id) {
        checkNotOver();
        return soFar.childrenOf(id) > 0;
    }

    @Override
    public void insert(SnapshotRecord record) {
        checkSound(record);
        if (find(record.id()).isPresent()) {
            throw broken(record, "the id is taken");
        }
        checkKeyIsFree(record);
        checkParent(record);
        SnapshotRecord shared = strings.share(record);
        changes.add(new Change.Insert(shared));
        put(shared);
        gainChild(record.parentId(), 1);
    }

    @Override
    public void replace(SnapshotRecord record) {
        checkSound(record);
        SnapshotRecord before = existing(record.id());
        if (!before.key().equals(record.key())) {
            checkKeyIsFree(record);
            changedByKey.put(before.key(), Optional.empty());
        }
        if (before.parentId() != record.parentId()) {
            checkParent(record);
            gainChild(before.parentId(), -1);
            gainChild(record.parentId(), 1);
        }
        SnapshotRecord shared = strings.share(record);
        changes.add(new Change.Replace(before, shared));
        put(shared);
    }

    @Override
    public void poison(Collection<Long> ids, Poison poison) {
        List<Change.Replace> replacements = new ArrayList<>(ids.size());
        for (long id : ids) {
            SnapshotRecord before = existing(id);
            SnapshotRecord after = before.withPoison(poison);
            replacements.add(new Change.Replace(before, after));
            put(after);
        }
        changes.add(new Change.PoisonAll(poison, replacements));
    }

    @Override
    public void delete(long id) {
        SnapshotRecord record = existing(id);
        if (hasChildren(id)) {
            throw broken(record, "others stand on it");
        }
        changes.add(new Change.Delete(record));
        changedById.put(id, Optional.empty());
        changedByKey.put(record.key(), Optional.empty());
        gainChild(record.parentId(), -1);
    }

    private SnapshotRecord existing(long id) {
        return find(id).orElseThrow(() -> new IllegalArgumentException("there is no snapshot " + id));
    }

    private void put(SnapshotRecord record) {
        changedById.put(record.id(), Optional.of(record));
        changedByKey.put(record.key(), Optional.of(record));
    }

    private void gainChild(long parentId, int difference) {
        if (parentId != SnapshotRecord.NO_PARENT) {
            childrenGained.merge(parentId, difference, Integer::sum);
        }
    }

    private void checkKeyIsFree(SnapshotRecord record) {
        if (find(record.key()).isPresent()) {
            throw broken(record, "the key is taken");
        }
    }

    /** The parent exists and does not stand on the record itself: only one that has children could close a circle. */
    private void checkParent(SnapshotRecord record) {
        boolean canCloseCircle = hasChildren(record.id());
        long ancestorId = record.parentId();
        while (ancestorId != SnapshotRecord.NO_PARENT) {
            if (ancestorId == record.id()) {
                throw broken(record, "it would be its own ancestor");
            }
            Optional<SnapshotRecord> ancestor = find(ancestorId);
            if (ancestor.isEmpty()) {
                throw broken(record, "there is no parent " + ancestorId);
            }
            ancestorId = canCloseCircle ? ancestor.get().parentId() : SnapshotRecord.NO_PARENT;
        }
    }

    private static void checkSound(SnapshotRecord record) {
        if (record.id() <= 0) {
            throw broken(record, "an id is above 0");
        }
        if (record.key().isEmpty()) {
            throw broken(record, "a key is not empty");
        }
        if (record.upper() != null && record.kind() != RecordKind.ACTIVE) {
            throw broken(record, "only an active has an upper");
        }
    }

    private void checkNotOver() {
        if (over) {
            throw new IllegalStateException("the transaction is over");
        }
    }

    private static IllegalArgumentException broken(SnapshotRecord record, String rule) {
        return new IllegalArgumentException("snapshot " + record.id() + ", " + record.key() + ": " + rule);
    }

    private final class SoFar implements RecordsSoFar {
        @Override
        public Optional<SnapshotRecord> find(String key) {
            Optional<SnapshotRecord> changed = changedByKey.get(key);
            return changed != null ? changed : earlier.find(key);
        }

        @Override
        public Optional<SnapshotRecord> find(long id) {
            Optional<SnapshotRecord> changed = changedById.get(id);
            return changed != null ? changed : earlier.find(id);
        }

        @Override
        public int childrenOf(long id) {
            return earlier.childrenOf(id) + childrenGained.getOrDefault(id, 0);
        }
    }
}
