package io.github.volatilesnapshotter.metadata;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.locks.StampedLock;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * What is committed, in memory. Readers hold the lock only while they look up or copy references; the one writer holds it while
 * it puts a whole transaction in, so that nobody sees half of one.
 */
final class Mirror implements RecordsSoFar {
    private final StampedLock lock = new StampedLock();
    private final Map<Long, SnapshotRecord> byId = new HashMap<>();
    private final Map<String, SnapshotRecord> byKey = new HashMap<>();
    private final Map<Long, Integer> childrenOf = new HashMap<>();

    @Override
    public Optional<SnapshotRecord> find(String key) {
        return Optional.ofNullable(reading(() -> byKey.get(key)));
    }

    @Override
    public Optional<SnapshotRecord> find(long id) {
        return Optional.ofNullable(reading(() -> byId.get(id)));
    }

    Map<String, SnapshotRecord> find(Collection<String> keys) {
        long stamp = lock.readLock();
        try {
            Map<String, SnapshotRecord> found = HashMap.newHashMap(keys.size());
            for (String key : keys) {
                SnapshotRecord record = byKey.get(key);
                if (record != null) {
                    found.put(key, record);
                }
            }
            return found;
        } finally {
            lock.unlockRead(stamp);
        }
    }

    @Override
    public int childrenOf(long id) {
        Integer children = reading(() -> childrenOf.get(id));
        return children == null ? 0 : children;
    }

    List<SnapshotRecord> all() {
        List<SnapshotRecord> copy = copyOf(byId);
        copy.sort(Comparator.comparingLong(SnapshotRecord::id));
        return copy;
    }

    List<SnapshotRecord> chain(long id) {
        return chain(() -> byId.get(id));
    }

    List<SnapshotRecord> chain(String key) {
        return chain(() -> byKey.get(key));
    }

    private List<SnapshotRecord> chain(Supplier<@Nullable SnapshotRecord> first) {
        long stamp = lock.readLock();
        try {
            List<SnapshotRecord> chain = new ArrayList<>();
            SnapshotRecord record = first.get();
            while (record != null) {
                if (chain.size() > byId.size()) {
                    throw new IllegalStateException("snapshot " + record.id() + " is its own ancestor");
                }
                chain.add(record);
                record = byId.get(record.parentId());
            }
            return chain;
        } finally {
            lock.unlockRead(stamp);
        }
    }

    void apply(List<Change> changes) {
        long stamp = lock.writeLock();
        try {
            changes.forEach(this::apply);
        } finally {
            lock.unlockWrite(stamp);
        }
    }

    private void apply(Change change) {
        switch (change) {
            case Change.Insert(SnapshotRecord record) -> {
                put(record);
                countChild(record.parentId(), 1);
            }
            case Change.Replace(SnapshotRecord before, SnapshotRecord after) -> {
                if (!before.key().equals(after.key())) {
                    byKey.remove(before.key());
                }
                put(after);
                if (before.parentId() != after.parentId()) {
                    countChild(before.parentId(), -1);
                    countChild(after.parentId(), 1);
                }
            }
            case Change.PoisonAll poisoned -> poisoned.replacements().forEach(this::apply);
            case Change.Delete(SnapshotRecord record) -> {
                byId.remove(record.id());
                byKey.remove(record.key());
                countChild(record.parentId(), -1);
            }
        }
    }

    private void put(SnapshotRecord record) {
        byId.put(record.id(), record);
        byKey.put(record.key(), record);
    }

    private void countChild(long parentId, int difference) {
        if (parentId != SnapshotRecord.NO_PARENT) {
            childrenOf.merge(parentId, difference, (old, more) -> old + more == 0 ? null : old + more);
        }
    }

    private List<SnapshotRecord> copyOf(Map<Long, SnapshotRecord> records) {
        long stamp = lock.readLock();
        try {
            return new ArrayList<>(records.values());
        } finally {
            lock.unlockRead(stamp);
        }
    }

    private <T> @Nullable T reading(Supplier<@Nullable T> lookUp) {
        long stamp = lock.readLock();
        try {
            return lookUp.get();
        } finally {
            lock.unlockRead(stamp);
        }
    }
}
