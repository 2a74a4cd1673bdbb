package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.time.Instant;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A snapshotter without mounts or disk, for tests of the rooms above. A test that needs something special overrides the one method
 * that it is about.
 */
public class FakeSnapshotter implements Snapshotter {
    public static final Instant CREATED_AT = Instant.ofEpochSecond(1_700_000_000L, 123_456_789);

    private final Map<String, SnapshotInfo> snapshots = new ConcurrentHashMap<>();

    @Override
    public List<Mount> prepare(String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException {
        return add(key, parent, Kind.ACTIVE, labels);
    }

    @Override
    public List<Mount> view(String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException {
        return add(key, parent, Kind.VIEW, labels);
    }

    @Override
    public List<Mount> mounts(String key) throws SnapshotException {
        stat(key);
        return List.of(new Mount("bind", "/snapshots/" + key, List.of("rbind", "rw")));
    }

    @Override
    public void commit(String name, String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException {
        SnapshotInfo active = stat(key);
        snapshots.remove(key);
        add(name, active.parent(), Kind.COMMITTED, labels);
    }

    @Override
    public void remove(String key) throws SnapshotException {
        if (snapshots.remove(key) == null) {
            throw unknown(key);
        }
    }

    @Override
    public SnapshotInfo stat(String key) throws SnapshotException {
        SnapshotInfo info = snapshots.get(key);
        if (info == null) {
            throw unknown(key);
        }
        return info;
    }

    @Override
    public SnapshotInfo update(String key, Map<String, String> labels, List<String> fieldPaths)
            throws SnapshotException {
        SnapshotInfo old = stat(key);
        SnapshotInfo updated =
                new SnapshotInfo(key, old.parent(), old.kind(), old.createdAt(), CREATED_AT.plusNanos(1), labels);
        snapshots.put(key, updated);
        return updated;
    }

    @Override
    public Iterator<SnapshotInfo> list(List<String> filters) throws SnapshotException {
        return List.copyOf(snapshots.values()).iterator();
    }

    @Override
    public Optional<Usage> recordedUsage(String key) throws SnapshotException {
        return stat(key).kind() == Kind.COMMITTED ? Optional.of(new Usage(8192, 2)) : Optional.empty();
    }

    @Override
    public Usage usage(String key, Cancellation cancellation) throws SnapshotException {
        stat(key);
        return new Usage(4096, 1);
    }

    @Override
    public void cleanup() throws SnapshotException {}

    private List<Mount> add(String key, String parent, Kind kind, Map<String, String> labels) throws SnapshotException {
        SnapshotInfo info = new SnapshotInfo(key, parent, kind, CREATED_AT, CREATED_AT, labels);
        if (snapshots.putIfAbsent(key, info) != null) {
            throw new SnapshotException(Category.ALREADY_EXISTS, "snapshot " + key + " already exists");
        }
        return kind == Kind.COMMITTED ? List.of() : mounts(key);
    }

    private static SnapshotException unknown(String key) {
        return new SnapshotException(Category.NOT_FOUND, "snapshot " + key + " does not exist");
    }
}
