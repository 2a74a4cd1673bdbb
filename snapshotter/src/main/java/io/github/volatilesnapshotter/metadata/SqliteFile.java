package io.github.volatilesnapshotter.metadata;

import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.DateTimeException;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteErrorCode;
import org.sqlite.SQLiteException;

/**
 * The SQLite file: one connection in WAL mode, its prepared statements, and the translation of its errors. Used by one thread at
 * a time.
 *
 * <p>In WAL mode a commit only appends to the log. With {@code synchronous=FULL} SQLite then flushes the log, with {@code NORMAL}
 * it does not; as the log is one sequence of checksummed frames, a FULL commit takes the NORMAL ones before it along
 * (sqlite.org/pragma.html#pragma_synchronous, sqlite.org/wal.html). Two more flushes come with carrying the log over and one
 * with the first commit after that; {@link #checkpoint} takes all three, so that no ordered transaction ever has to.
 */
final class SqliteFile implements AutoCloseable {
    private static final Set<PosixFilePermission> OWNER_ONLY = PosixFilePermissions.fromString("rw-------");

    /** How long SQLite waits for another program that has the file locked, for example an operator's sqlite3. */
    private static final int OTHER_PROGRAM_TIMEOUT_MILLIS = 5_000;

    /**
     * A transaction on one record touches a page of the table and one of each index. Pages of 1 KiB hold them well, and make the
     * log a quarter as long as the default of 4 KiB (docs/decisions/0002-metadata.md).
     */
    static final int PAGE_BYTES = 1024;

    private final Path file;
    private final Path log;
    private final boolean hadLog;
    private final Connection connection;
    private final KeptStatement begin;
    private final KeptStatement commit;
    private final KeptStatement insert;
    private final KeptStatement updateAll;
    private final KeptStatement updateUnindexed;
    private final KeptStatement updatePoison;
    private final KeptStatement delete;
    private final KeptStatement reserveIds;
    private final KeptStatement countFlush;
    private final KeptStatement numberTransaction;
    private final List<KeptStatement> kept;
    private @Nullable Durability flushing;

    /** The mark is not in the database, but perhaps in the log: of a process that found no room, or was killed. */
    private boolean isMarkUnfinished;

    private SqliteFile(Path file, Connection connection, boolean hadLog, boolean isInUse) {
        this.file = file;
        this.hadLog = hadLog;
        this.isMarkUnfinished = !isInUse;
        log = logOf(file);
        this.connection = connection;
        begin = new KeptStatement(connection, "BEGIN IMMEDIATE");
        commit = new KeptStatement(connection, "COMMIT");
        insert = new KeptStatement(connection, RecordColumns.INSERT);
        updateAll = new KeptStatement(connection, RecordColumns.UPDATE_ALL);
        updateUnindexed = new KeptStatement(connection, RecordColumns.UPDATE_UNINDEXED);
        updatePoison = new KeptStatement(connection, RecordColumns.UPDATE_POISON);
        delete = new KeptStatement(connection, "DELETE FROM snapshot WHERE id = ?1");
        reserveIds =
                new KeptStatement(connection, "UPDATE store SET ids_reserved_through = max(ids_reserved_through, ?1)");
        countFlush = new KeptStatement(connection, "UPDATE store SET flushes = flushes + 1");
        numberTransaction = new KeptStatement(connection, "UPDATE store SET last_transaction = ?1");
        kept = List.of(
                begin,
                commit,
                insert,
                updateAll,
                updateUnindexed,
                updatePoison,
                delete,
                reserveIds,
                countFlush,
                numberTransaction);
    }

    static SqliteFile open(Path file, Schema schema) throws MetadataException {
        createForOwnerOnly(file);
        checkLog(file);
        // Not later: closing the file a second time would take SQLite's locks away.
        boolean isInUse = isInUse(file);
        boolean hasLog = hasLogToKeep(file, isInUse);
        @Nullable Connection connection = null;
        try {
            connection = connect(file);
            prepare(file, connection, schema);
            SqliteFile opened = new SqliteFile(file, connection, hasLog, isInUse);
            // Needed once in months, and then at once.
            var _ = opened.updatePoison.prepared();
            return opened;
        } catch (SQLException e) {
            letGoAfter(e, connection, hasLog);
            throw failure(file, "open", e);
        } catch (MetadataException e) {
            letGoAfter(e, connection, hasLog);
            throw e;
        }
    }

    /**
     * What is refused stays as it is: SQLite would carry the log over as it closes, and remove it. So it is closed by the end of the process,
     * unless there was none to keep.
     */
    private static void letGoAfter(Exception failure, @Nullable Connection connection, boolean hasLog) {
        if (!hasLog) {
            closeAfter(failure, connection);
        }
    }

    private static Path logOf(Path file) {
        return file.resolveSibling(file.getFileName() + "-wal");
    }

    /**
     * Refuses what SQLite would open as if the log had never been: then the records would be those of an earlier time, and the layers
     * since then nobody's.
     */
    static void checkLog(Path file) throws MetadataException {
        Path log = logOf(file);
        try {
            if (isInUse(file) && Files.notExists(log)) {
                throw unusable(
                        file,
                        damage(
                                "its write-ahead log " + log.getFileName()
                                        + " is missing: it was lost, or this is a copy of the file alone, made while a daemon ran"));
            }
            Optional<String> damage = LogHeader.damage(log);
            if (damage.isPresent()) {
                throw unusable(file, damage(damage.get()));
            }
        } catch (IOException e) {
            throw new MetadataException(Reason.UNUSABLE_FILE, file, "open", e.toString(), "", e);
        }
    }

    /** By what the database itself says, whatever its log has. */
    private static boolean isInUse(Path file) throws MetadataException {
        try {
            return DatabaseHeader.read(file)
                    .filter(header -> header.applicationId() == Schema.APPLICATION_ID_IN_USE)
                    .isPresent();
        } catch (IOException e) {
            throw new MetadataException(Reason.UNUSABLE_FILE, file, "open", e.toString(), "", e);
        }
    }

    /** Beside a file that was closed an empty one means nothing. */
    private static boolean hasLogToKeep(Path file, boolean isInUse) throws MetadataException {
        Path log = logOf(file);
        try {
            return Files.exists(log) && (Files.size(log) > 0 || isInUse);
        } catch (IOException e) {
            throw new MetadataException(Reason.UNUSABLE_FILE, file, "open", e.toString(), "", e);
        }
    }

    static Connection connect(Path file) throws SQLException {
        SQLiteConfig config = new SQLiteConfig();
        config.setBusyTimeout(OTHER_PROGRAM_TIMEOUT_MILLIS);
        config.enforceForeignKeys(true);
        // Before anything is read, so that SQLite keeps the index of its log in memory and not in a file that it maps:
        // on a filesystem that has given up the first store to a mapped page is a SIGBUS, and the end of the daemon.
        config.setLockingMode(SQLiteConfig.LockingMode.EXCLUSIVE);
        // As a URI, as the driver would take what follows a '?' in a path for settings.
        return config.createConnection("jdbc:sqlite:file:" + file.toUri().getRawPath());
    }

    static void createForOwnerOnly(Path file) throws MetadataException {
        try {
            try {
                Files.createFile(file, PosixFilePermissions.asFileAttribute(OWNER_ONLY));
            } catch (FileAlreadyExistsException e) {
                Files.setPosixFilePermissions(file, OWNER_ONLY);
            }
        } catch (IOException e) {
            throw new MetadataException(Reason.UNUSABLE_FILE, file, "open", e.toString(), "", e);
        }
    }

    private static void prepare(Path file, Connection connection, Schema schema)
            throws SQLException, MetadataException {
        try (Statement statement = connection.createStatement()) {
            int version = checkedVersion(file, statement, schema);
            checkUndamaged(file, connection);
            if (version == 0) {
                statement.execute("PRAGMA page_size = " + PAGE_BYTES);
            }
            String journal = text(statement, "PRAGMA journal_mode = WAL");
            if (!journal.equals("wal")) {
                throw unusable(file, "its filesystem gives no write-ahead log, only journal mode " + journal);
            }
            statement.execute("PRAGMA wal_autocheckpoint = 0");
            statement.execute("PRAGMA trusted_schema = OFF");
            statement.execute("PRAGMA temp_store = MEMORY");
            statement.execute("PRAGMA synchronous = FULL");
            schema.migrate(connection, version);
        }
    }

    private static int checkedVersion(Path file, Statement statement, Schema schema)
            throws SQLException, MetadataException {
        int applicationId = (int) number(statement, "PRAGMA application_id");
        int version = (int) number(statement, "PRAGMA user_version");
        boolean fresh =
                applicationId == 0 && version == 0 && number(statement, "SELECT count(*) FROM sqlite_schema") == 0;
        if (!fresh && applicationId != Schema.APPLICATION_ID && applicationId != Schema.APPLICATION_ID_IN_USE) {
            throw unusable(file, "it is a SQLite file, but not one of volatile-snapshotter; it is left as it is");
        }
        if (!Schema.isVersion(version)) {
            throw unusable(file, damage("its schema version is " + version));
        }
        if (version > schema.version()) {
            throw unusable(
                    file,
                    "it was written by a newer volatile-snapshotter (schema version " + version + ", this one knows "
                            + schema.version() + "); start that version again, or remove all snapshots with it first");
        }
        return version;
    }

    static void checkUndamaged(Path file, Connection connection) throws SQLException, MetadataException {
        try (Statement statement = connection.createStatement()) {
            String verdict = text(statement, "PRAGMA integrity_check(1)");
            if (!verdict.equals("ok")) {
                throw unusable(file, damage(verdict));
            }
            try (ResultSet orphan = statement.executeQuery("PRAGMA foreign_key_check")) {
                if (orphan.next()) {
                    String detail = "snapshot " + orphan.getLong(2) + " stands on a parent that is not there";
                    throw unusable(file, damage(detail));
                }
            }
        }
    }

    private static String damage(String verdict) {
        return "the file is damaged (" + verdict + "); it is left as it is, with the snapshots: "
                + Backup.OR_BEGIN_ANEW;
    }

    /**
     * Gives every record, in order of ids.
     *
     * @return the highest number of a transaction in them
     */
    long load(SharedStrings strings, Consumer<SnapshotRecord> records) throws MetadataException {
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(RecordColumns.SELECT_ALL)) {
            long lastTransaction = 0;
            while (rows.next()) {
                records.accept(RecordColumns.read(rows, strings));
                lastTransaction = Math.max(lastTransaction, RecordColumns.transaction(rows));
            }
            return lastTransaction;
        } catch (SQLException e) {
            throw unreadable("load records", e);
        } catch (IllegalArgumentException | DateTimeException | ArithmeticException e) {
            throw new MetadataException(
                    Reason.UNUSABLE_FILE, file, "load records", damage(String.valueOf(e.getMessage())), "", e);
        }
    }

    /**
     * Says in the file that its log belongs to it. To be called once it is known to be whole, before anything is written. On disk, and in the
     * database itself, when this returns.
     *
     * @param isNoted whether its transactions are noted from now on: then it is no longer one that was restored
     */
    void markInUse(boolean isNoted) throws MetadataException {
        try (Statement statement = connection.createStatement()) {
            boolean isMarked = (int) number(statement, "PRAGMA application_id") == Schema.APPLICATION_ID_IN_USE;
            boolean wasRestored = isNoted && number(statement, "SELECT is_restored FROM store") != 0;
            if (isMarked && !wasRestored && !isMarkUnfinished) {
                return;
            }
            isMarkUnfinished = true;
            flush(Durability.DURABLE);
            if (wasRestored) {
                statement.execute("UPDATE store SET is_restored = 0");
            }
            statement.execute("PRAGMA application_id = " + Schema.APPLICATION_ID_IN_USE);
            boolean _ = emptyLog();
            isMarkUnfinished = false;
        } catch (SQLException e) {
            throw failure("mark as in use", e);
        }
    }

    StoreRow storeRow() throws MetadataException {
        try (Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(
                        "SELECT ids_reserved_through, identity, last_transaction, is_restored FROM store")) {
            if (!row.next()) {
                throw unusable(file, damage("the row of the store is missing"));
            }
            return new StoreRow(row.getLong(1), row.getString(2), row.getLong(3), row.getBoolean(4));
        } catch (SQLException e) {
            throw unreadable("read the row of the store", e);
        }
    }

    /** On disk when this returns. */
    void reserveIds(long through) throws MetadataException {
        try {
            flush(Durability.DURABLE);
            reserveIds.prepared().setLong(1, through);
            reserveIds.changeOneRow();
        } catch (SQLException e) {
            throw failure("reserve ids", e);
        }
    }

    /**
     * One transaction of all the changes. A durable one without changes still flushes.
     *
     * @param number of the transaction, above that of the one before; nowhere if there are no changes
     */
    void write(List<Change> changes, Durability durability, long number) throws MetadataException {
        try {
            flush(durability);
            if (changes.size() > 1 || changes.stream().anyMatch(change -> !isNumberedInRecord(change))) {
                writeTogether(changes, number);
            } else if (changes.size() == 1) {
                // Outside of BEGIN and COMMIT a statement is a transaction of its own.
                write(changes.getFirst(), number);
            } else if (durability == Durability.DURABLE) {
                countFlush.changeOneRow();
            }
        } catch (SQLException e) {
            throw failure("write records", e);
        }
    }

    private static boolean isNumberedInRecord(Change change) {
        return switch (change) {
            case Change.Insert _, Change.Replace _ -> true;
            case Change.PoisonAll poisoned -> !poisoned.replacements().isEmpty();
            case Change.Delete _ -> false;
        };
    }

    private void writeTogether(List<Change> changes, long number) throws SQLException {
        begin.prepared().execute();
        try {
            for (Change change : changes) {
                write(change, number);
            }
            numberTransaction.prepared().setLong(1, number);
            numberTransaction.changeOneRow();
            commit.prepared().execute();
        } catch (SQLException | RuntimeException e) {
            Rollback.after(e, connection);
            throw e;
        }
    }

    private void write(Change change, long number) throws SQLException {
        switch (change) {
            case Change.Insert(SnapshotRecord record) -> write(insert, record, number);
            case Change.Replace replace ->
                write(replace.movesInIndex() ? updateAll : updateUnindexed, replace.after(), number);
            case Change.PoisonAll(Poison poison, List<Change.Replace> replacements) -> {
                RecordColumns.bindPoisonOf(
                        updatePoison.prepared(), replacements.stream().map(Change.Replace::after), poison, number);
                updatePoison.changeRows(replacements.size());
            }
            case Change.Delete(SnapshotRecord record) -> {
                delete.prepared().setLong(1, record.id());
                delete.changeOneRow();
            }
        }
    }

    private static void write(KeptStatement statement, SnapshotRecord record, long number) throws SQLException {
        RecordColumns.bind(statement.prepared(), record, number);
        statement.changeOneRow();
    }

    /** Length of the write-ahead log. */
    long logBytes() {
        return log.toFile().length();
    }

    /** Flushes the log without blocking writers, so that little is left to flush for {@link #checkpoint}. Any thread. */
    void flushLog() throws MetadataException {
        try (FileChannel channel = FileChannel.open(log, StandardOpenOption.WRITE)) {
            channel.force(false);
        } catch (IOException e) {
            throw new MetadataException(Reason.FAILED, file, "flush the write-ahead log", e.toString(), "", e);
        }
    }

    /**
     * Carries the log over into the database and empties it.
     *
     * @return false if another program is reading the file, so that the log could not be emptied
     */
    boolean checkpoint() throws MetadataException {
        try {
            if (!emptyLog()) {
                return false;
            }
            // The first commit to an emptied log flushes the log's header, whatever synchronous says (wal.c,
            // syncHeader).
            flush(Durability.ORDERED);
            countFlush.changeOneRow();
            return true;
        } catch (SQLException e) {
            throw failure("checkpoint", e);
        }
    }

    /** Does not wait for a reader in another program, as our own writers wait meanwhile. */
    private boolean emptyLog() throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.execute("PRAGMA busy_timeout = 0");
            try {
                return number(statement, "PRAGMA wal_checkpoint(TRUNCATE)") == 0;
            } finally {
                statement.execute("PRAGMA busy_timeout = " + OTHER_PROGRAM_TIMEOUT_MILLIS);
            }
        }
    }

    /**
     * Carries the log over: the file is whole without it, and an empty one is left. Doing it again does nothing. If that can't be said in the
     * file, or there would be no log any more, it stays open to the end of the process, and with its log.
     */
    @Override
    public void close() throws MetadataException {
        if (isClosed()) {
            return;
        }
        try (Statement statement = connection.createStatement()) {
            statement.execute("PRAGMA application_id = " + Schema.APPLICATION_ID);
        } catch (SQLException e) {
            throw failure("close", e);
        }
        KeptLog kept = new KeptLog(log);
        if (kept.canBeLost()) {
            return;
        }
        closeInUse();
        kept.leaveEmpty();
    }

    private boolean isClosed() throws MetadataException {
        try {
            return connection.isClosed();
        } catch (SQLException e) {
            throw failure("close", e);
        }
    }

    /** As it is: without its log it can't be opened again, but by whoever puts another file in its place. */
    void closeInUse() throws MetadataException {
        try {
            connection.close();
        } catch (SQLException e) {
            throw failure("close", e);
        }
    }

    /** It turned out to be unusable, before anything was written. */
    void letGoAfter(MetadataException failure) {
        letGoAfter(failure, connection, hadLog);
    }

    /** Not a prepared statement: this pragma takes effect when it is compiled, not when it is run. */
    private void flush(Durability durability) throws SQLException {
        if (flushing == durability) {
            return;
        }
        try (Statement statement = connection.createStatement()) {
            statement.execute("PRAGMA synchronous = " + (durability == Durability.DURABLE ? "FULL" : "NORMAL"));
            flushing = durability;
        }
    }

    private static long number(Statement statement, String sql) throws SQLException {
        try (ResultSet row = statement.executeQuery(sql)) {
            row.next();
            return row.getLong(1);
        }
    }

    private static String text(Statement statement, String sql) throws SQLException {
        try (ResultSet row = statement.executeQuery(sql)) {
            row.next();
            return row.getString(1);
        }
    }

    private static void closeAfter(Exception failure, @Nullable Connection connection) {
        if (connection != null) {
            try {
                connection.close();
            } catch (SQLException e) {
                failure.addSuppressed(e);
            }
        }
    }

    private static MetadataException unusable(Path file, String detail) {
        return new MetadataException(Reason.UNUSABLE_FILE, file, "open", detail, "", null);
    }

    /** The tables are ours: a name in them that is not found is one that was damaged. */
    private MetadataException unreadable(String operation, SQLException e) {
        boolean isAnotherTable =
                e instanceof SQLiteException sqlite && sqlite.getResultCode() == SQLiteErrorCode.SQLITE_ERROR;
        return isAnotherTable ? unusable(file, damage(String.valueOf(e.getMessage()))) : failure(operation, e);
    }

    private MetadataException failure(String operation, SQLException e) {
        kept.forEach(KeptStatement::forget);
        return failure(file, operation, e);
    }

    static MetadataException failure(Path file, String operation, SQLException e) {
        if (!(e instanceof SQLiteException sqlite)) {
            return new MetadataException(Reason.FAILED, file, operation, String.valueOf(e.getMessage()), "", e);
        }
        SQLiteErrorCode code = sqlite.getResultCode();
        // A page is not there any more: no write fails so.
        boolean isCutOff = code == SQLiteErrorCode.SQLITE_IOERR_SHORT_READ;
        Reason reason = switch (SQLiteErrorCode.getErrorCode(code.code & 0xff)) {
            case SQLITE_FULL -> Reason.DISK_FULL;
            case SQLITE_BUSY, SQLITE_LOCKED -> Reason.BUSY;
            case SQLITE_CORRUPT, SQLITE_NOTADB -> Reason.UNUSABLE_FILE;
            default -> isCutOff ? Reason.UNUSABLE_FILE : Reason.FAILED;
        };
        String message = String.valueOf(e.getMessage());
        return new MetadataException(
                reason, file, operation, reason == Reason.UNUSABLE_FILE ? damage(message) : message, code.name(), e);
    }
}
