package io.github.volatilesnapshotter.metadata;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;

/** A database written from nothing, for when the disk can no longer be trusted to have kept the old one. */
final class FreshDatabase {
    private final Connection connection;

    private FreshDatabase(Connection connection) {
        this.connection = connection;
    }

    /**
     * Writes a database of these records that is on disk under its name {@link DatabaseFiles#next} when this returns. The
     * database in use and its log are not touched.
     *
     * @throws MetadataException if it could not be written; nothing of it is left, unless removing it failed as well
     */
    static void write(DatabaseFiles files, Schema schema, List<SnapshotRecord> records, StoreRow row)
            throws MetadataException {
        // Never written over: a page that was lost before may be clean in the cache.
        files.removeUnfinished();
        try {
            write(files.unfinished(), schema, records, row);
            files.finish();
        } catch (MetadataException e) {
            removeAfter(e, files);
            throw e;
        }
    }

    /**
     * Writes a database of these records and verifies it; one file, without a log. SQLite flushes it, its name is not durable.
     *
     * @param file is not there, or empty
     */
    static void write(Path file, Schema schema, List<SnapshotRecord> records, StoreRow row) throws MetadataException {
        SqliteFile.createForOwnerOnly(file);
        try (Connection connection = SqliteFile.connect(file)) {
            new FreshDatabase(connection).fill(schema, records, row);
            SqliteFile.checkUndamaged(file, connection);
        } catch (SQLException e) {
            throw SqliteFile.failure(file, "write all records anew", e);
        }
    }

    private static void removeAfter(MetadataException failure, DatabaseFiles files) {
        try {
            files.removeUnfinished();
        } catch (MetadataException e) {
            failure.addSuppressed(e);
        }
    }

    private void fill(Schema schema, List<SnapshotRecord> records, StoreRow row) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("PRAGMA page_size = " + SqliteFile.PAGE_BYTES);
            // A file that is thrown away after any failure needs no way back.
            statement.execute("PRAGMA journal_mode = OFF");
            statement.execute("PRAGMA synchronous = FULL");
            // Records come in order of ids, and a rebased one may stand on a later one. All are checked in the end.
            statement.execute("PRAGMA foreign_keys = OFF");
            schema.migrate(connection, 0);
            statement.execute("BEGIN IMMEDIATE");
            insert(records, row.lastTransaction());
            fill(row);
            statement.execute("COMMIT");
        }
    }

    private void fill(StoreRow row) throws SQLException {
        try (PreparedStatement update = connection.prepareStatement("UPDATE store SET ids_reserved_through = ?1,"
                + " identity = ?2, last_transaction = ?3, is_restored = ?4")) {
            update.setLong(1, row.idsReservedThrough());
            update.setString(2, row.identity());
            update.setLong(3, row.lastTransaction());
            update.setBoolean(4, row.isRestored());
            update.executeUpdate();
        }
    }

    private void insert(List<SnapshotRecord> records, long transaction) throws SQLException {
        try (PreparedStatement insert = connection.prepareStatement(RecordColumns.INSERT)) {
            for (SnapshotRecord record : records) {
                RecordColumns.bind(insert, record, transaction);
                insert.executeUpdate();
            }
        }
    }
}
