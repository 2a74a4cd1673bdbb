package io.github.volatilesnapshotter.metadata;

import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.stream.Stream;

/**
 * The tables, and how a file made by an older version gets them. {@code PRAGMA user_version} says how many of the steps a file
 * has been through.
 */
record Schema(List<Step> steps) {
    /** What one version added. A step that was ever released is never changed, only followed by another. */
    record Step(List<String> statements) {}

    /** More than there will be versions. */
    private static final int LAST_EVER = 1_000;

    /** {@code PRAGMA application_id}: "vols" in ASCII, so that no other SQLite file is taken for ours. */
    static final int APPLICATION_ID = 0x766f6c73;

    /**
     * "volu": open, or left so by a process that was killed. As long as a file says so its log belongs to it; SQLite would open it without
     * a word where the log is missing.
     */
    static final int APPLICATION_ID_IN_USE = 0x766f6c75;

    /** Times are nanoseconds since 1970 UTC. Labels, a key and a value in turn, and files are kept as {@link EscapedLines}. */
    private static final String SNAPSHOT = """
            CREATE TABLE snapshot (
              id                INTEGER PRIMARY KEY CHECK (id > 0),
              key               TEXT NOT NULL UNIQUE CHECK (key <> ''),
              kind              TEXT NOT NULL CHECK (kind IN ('view', 'active', 'committed')),
              parent_id         INTEGER REFERENCES snapshot (id) ON DELETE RESTRICT CHECK (parent_id <> id),
              created_at_nanos  INTEGER NOT NULL,
              updated_at_nanos  INTEGER NOT NULL,
              labels            TEXT NOT NULL,
              pool              TEXT NOT NULL,
              upper_role        TEXT CHECK (upper_role IN ('durable', 'volatile')),
              upper_pool        TEXT,
              upper_boot_id     TEXT,
              upper_superblock  TEXT,
              upper_generation  INTEGER CHECK (upper_generation >= 0),
              poison_reason     TEXT,
              poison_errno      TEXT,
              poison_device     TEXT,
              poison_at_nanos   INTEGER,
              poison_files      TEXT,
              usage_size_bytes  INTEGER,
              usage_inodes      INTEGER,
              CHECK (upper_role IS NULL OR kind = 'active'),
              CHECK ((upper_role IS NULL) = (upper_pool IS NULL)
                 AND (upper_role IS NULL) = (upper_boot_id IS NULL)
                 AND (upper_role IS NULL) = (upper_superblock IS NULL)
                 AND (upper_role IS NULL) = (upper_generation IS NULL)),
              CHECK ((poison_reason IS NULL) = (poison_errno IS NULL)
                 AND (poison_reason IS NULL) = (poison_device IS NULL)
                 AND (poison_reason IS NULL) = (poison_at_nanos IS NULL)
                 AND (poison_reason IS NULL) = (poison_files IS NULL)),
              CHECK ((usage_size_bytes IS NULL) = (usage_inodes IS NULL))
            ) STRICT""";

    /** Without it each removal would search all records for children. */
    private static final String SNAPSHOT_BY_PARENT =
            "CREATE INDEX snapshot_by_parent ON snapshot (parent_id) WHERE parent_id IS NOT NULL";

    /** Facts about the store itself, in its one row. */
    private static final String STORE = """
            CREATE TABLE store (
              only_row             INTEGER PRIMARY KEY CHECK (only_row = 1),
              ids_reserved_through INTEGER NOT NULL CHECK (ids_reserved_through >= 0),
              flushes              INTEGER NOT NULL
            ) STRICT""";

    /** SQLite's pages have no checksums: a flipped bit in a text or a number is a good one. Null in records of version 1. */
    private static final String CHECKSUM = "ALTER TABLE snapshot ADD COLUMN checksum INTEGER";

    /**
     * Every transaction has a number, in the records that it writes; one that deletes, or makes several changes, has it in the row of the store.
     * See {@link TransactionNote}.
     */
    private static final List<String> TRANSACTION_NUMBERS = List.of(
            "ALTER TABLE snapshot ADD COLUMN written_by INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE store ADD COLUMN last_transaction INTEGER NOT NULL DEFAULT 0",
            "ALTER TABLE store ADD COLUMN identity TEXT NOT NULL DEFAULT ''",
            "ALTER TABLE store ADD COLUMN is_restored INTEGER NOT NULL DEFAULT 0",
            "UPDATE store SET identity = lower(hex(randomblob(16)))");

    static final Schema CURRENT = new Schema(List.of(
            new Step(List.of(
                    "PRAGMA application_id = " + APPLICATION_ID,
                    SNAPSHOT,
                    SNAPSHOT_BY_PARENT,
                    STORE,
                    "INSERT INTO store (only_row, ids_reserved_through, flushes) VALUES (1, 0, 0)")),
            new Step(List.of(CHECKSUM)),
            new Step(TRANSACTION_NUMBERS)));

    Schema followedBy(Step step) {
        return new Schema(Stream.concat(steps.stream(), Stream.of(step)).toList());
    }

    int version() {
        return steps.size();
    }

    /** Whether there can ever be such a version; a file that says otherwise is damaged. */
    static boolean isVersion(int version) {
        return version >= 0 && version <= LAST_EVER;
    }

    /** Takes a file of {@code version} through the steps it lacks, in one transaction: all of them or none. */
    void migrate(Connection connection, int version) throws SQLException {
        if (version == version()) {
            return;
        }
        try (Statement statement = connection.createStatement()) {
            statement.execute("BEGIN IMMEDIATE");
            try {
                for (Step step : steps.subList(version, version())) {
                    for (String sql : step.statements()) {
                        statement.execute(sql);
                    }
                }
                statement.execute("PRAGMA user_version = " + version());
                statement.execute("COMMIT");
            } catch (SQLException e) {
                Rollback.after(e, connection);
                throw e;
            }
        }
    }
}
