package io.github.volatilesnapshotter.metadata;

import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/** Records in a SQLite file. */
public final class SqliteSnapshotStore implements SnapshotStore {
    private SqliteSnapshotStore() {}

    public static SqliteSnapshotStore open(Path file) throws MetadataException {
        if (!file.isAbsolute()) {
            throw new MetadataException(MetadataException.Reason.REFUSED, file, "open", "not absolute", "", null);
        }
        return new SqliteSnapshotStore();
    }

    @Override
    public Optional<SnapshotRecord> find(String key) {
        throw new UnsupportedOperationException();
    }

    @Override
    public Optional<SnapshotRecord> find(long id) {
        throw new UnsupportedOperationException();
    }

    @Override
    public List<SnapshotRecord> all() {
        throw new UnsupportedOperationException();
    }

    @Override
    public List<SnapshotRecord> chain(long id) {
        throw new UnsupportedOperationException();
    }

    @Override
    public Optional<String> keyOf(long id) {
        throw new UnsupportedOperationException();
    }

    @Override
    public int count(Predicate<? super SnapshotRecord> predicate) {
        throw new UnsupportedOperationException();
    }

    @Override
    public <T, X extends Exception> T ordered(Work<T, X> work) throws X, MetadataException {
        throw new UnsupportedOperationException();
    }

    @Override
    public <T, X extends Exception> T durable(Work<T, X> work) throws X, MetadataException {
        throw new UnsupportedOperationException();
    }

    @Override
    public long newId() throws MetadataException {
        throw new UnsupportedOperationException();
    }

    @Override
    public void raiseIdsAbove(long id) {
        throw new UnsupportedOperationException();
    }

    @Override
    public void close() throws MetadataException {}
}
