package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.active;
import static io.github.volatilesnapshotter.metadata.Records.committed;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Instant;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What was acknowledged on this boot and is not in the records any more is missed. */
final class LostTransactionsTest {
    private static final int FRAME_BYTES = 24 + SqliteFile.PAGE_BYTES;
    private static final String THIS_BOOT = "11111111-2222-3333-4444-555555555555";
    private static final String NEXT_BOOT = "99999999-2222-3333-4444-555555555555";
    private static final String THIS_FILE_SYSTEM = "ext4:4711";
    private static final String MISSING = "acknowledged transactions are missing";

    @TempDir
    private Path directory;

    private Path database;
    private Path log;
    private Path noteFile;

    @BeforeEach
    void names() {
        database = directory.resolve("metadata.db");
        log = directory.resolve("metadata.db-wal");
        noteFile = directory.resolve("last-transaction");
    }

    private SqliteSnapshotStore open(String bootId) throws MetadataException {
        return SqliteSnapshotStore.open(
                database,
                TransactionNote.keptIn(noteFile, new TransactionNote.Period(bootId, THIS_FILE_SYSTEM)),
                StoreObserver.NONE);
    }

    private SqliteSnapshotStore open() throws MetadataException {
        return open(THIS_BOOT);
    }

    /** Another inode, as a refused one stays open, and locked, to the end of the process. */
    private static void put(Path file, byte[] content) throws IOException {
        Files.deleteIfExists(file);
        Files.write(file, content);
    }

    private void assertRefused(String why) throws IOException {
        byte[] database = Files.readAllBytes(this.database);
        byte[] logged = Files.exists(log) ? Files.readAllBytes(log) : new byte[0];
        for (int attempt = 1; attempt <= 2; attempt++) {
            assertThatThrownBy(() -> open().close())
                    .isInstanceOfSatisfying(
                            MetadataException.class, e -> assertThat(e.reason()).isEqualTo(Reason.UNUSABLE_FILE))
                    .hasMessageContaining(why)
                    .hasMessageContaining("volatilectl restore FILE")
                    .hasMessageContaining(noteFile.toString());
            assertThat(Files.readAllBytes(this.database)).isEqualTo(database);
            assertThat(Files.exists(log) ? Files.readAllBytes(log) : new byte[0])
                    .isEqualTo(logged);
            put(this.database, database);
            if (logged.length > 0) {
                put(log, logged);
            }
        }
    }

    private interface Writing {
        void to(SqliteSnapshotStore store) throws Exception;
    }

    /** Leaves the files as a process does that is killed after it. */
    private void writeAndDie(Writing writing) throws Exception {
        byte[] killedDatabase;
        byte[] killedLog;
        byte[] killedNote;
        try (SqliteSnapshotStore store = open()) {
            writing.to(store);
            killedDatabase = Files.readAllBytes(database);
            killedLog = Files.readAllBytes(log);
            killedNote = Files.readAllBytes(noteFile);
        }
        put(database, killedDatabase);
        put(log, killedLog);
        put(noteFile, killedNote);
    }

    private static void insert(SnapshotStore store, long id) throws MetadataException {
        store.<Integer, RuntimeException>ordered(transaction -> {
            transaction.insert(active(id, "key " + id, 0));
            return 0;
        });
    }

    private static void insertSome(SnapshotStore store) throws MetadataException {
        for (long id = 1; id <= 40; id++) {
            insert(store, id);
        }
    }

    private static void delete(SnapshotStore store, long id) throws MetadataException {
        store.<Integer, RuntimeException>ordered(transaction -> {
            transaction.delete(id);
            return 0;
        });
    }

    @Test
    void what_a_kill_leaves_has_everything() throws Exception {
        for (int kill = 0; kill < 3; kill++) {
            long first = 1 + kill * 10L;
            writeAndDie(store -> {
                for (long id = first; id < first + 10; id++) {
                    insert(store, id);
                }
                delete(store, first);
            });
        }
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).hasSize(27);
        }
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).as("after a clean stop").hasSize(27);
        }
    }

    @Test
    void a_log_that_was_cut_off_anywhere_is_refused() throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        byte[] whole = Files.readAllBytes(log);
        for (int length : new int[] {0, 10, 32, 32 + FRAME_BYTES, whole.length / 2, whole.length - 1}) {
            put(log, Arrays.copyOf(whole, length));
            assertRefused(MISSING);
        }
        put(log, whole);
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).as("put right again").hasSize(40);
        }
    }

    @Test
    void on_a_filesystem_that_was_mounted_anew_a_lost_tail_is_that_of_a_filesystem_that_had_stopped() throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        byte[] whole = Files.readAllBytes(log);
        put(log, Arrays.copyOf(whole, whole.length / 2));

        TransactionNote after =
                TransactionNote.keptIn(noteFile, new TransactionNote.Period(THIS_BOOT, "another-" + THIS_FILE_SYSTEM));
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(database, after, StoreObserver.NONE)) {
            assertThat(store.all()).hasSizeBetween(1, 39);
        }
    }

    @Test
    void a_log_with_a_damaged_middle_is_refused() throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        byte[] whole = Files.readAllBytes(log);
        for (int position = 40; position < whole.length; position += 3 * FRAME_BYTES / 2) {
            byte[] damaged = whole.clone();
            damaged[position] ^= 4;
            put(log, damaged);
            assertRefused(MISSING);
        }
        byte[] zeroed = whole.clone();
        Arrays.fill(zeroed, whole.length / 2, whole.length / 2 + 4096, (byte) 0);
        put(log, zeroed);
        assertRefused(MISSING);
    }

    /** Each is written in a way of its own. */
    @ParameterizedTest
    @ValueSource(strings = {"insert", "replace", "rename", "poison", "poison nobody", "delete", "several", "durable"})
    void the_loss_of_a_single_transaction_is_refused(String kind) throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        byte[] before = Files.readAllBytes(log);
        byte[] databaseBefore = Files.readAllBytes(database);
        writeAndDie(store -> write(store, kind));
        assertThatCode(() -> open(THIS_BOOT).close()).as("whole").doesNotThrowAnyException();
        put(database, databaseBefore);
        put(log, before);
        assertRefused(MISSING);
    }

    private static void write(SqliteSnapshotStore store, String kind) throws MetadataException {
        SnapshotRecord first = store.find(1L).orElseThrow();
        SnapshotStore.Work<Integer, RuntimeException> work = transaction -> {
            switch (kind) {
                case "insert", "durable" -> transaction.insert(committed(100, "layer", 0));
                case "replace" -> transaction.replace(first.withLabels(Map.of("a", "b")));
                case "rename" -> transaction.replace(committed(1, "layer", 0));
                case "poison" -> transaction.poison(List.of(1L, 2L, 3L), poison());
                case "poison nobody" -> transaction.poison(List.of(), poison());
                case "delete" -> transaction.delete(1);
                case "several" ->
                    LongStream.rangeClosed(1, 5).forEach(id -> {
                        transaction.delete(id);
                        transaction.insert(active(id + 100, "again " + id, 0));
                    });
                default -> throw new IllegalArgumentException(kind);
            }
            return 0;
        };
        int _ = kind.equals("durable") ? store.durable(work) : store.ordered(work);
    }

    private static Poison poison() {
        return new Poison("crash", "", "8:0", Instant.EPOCH, List.of());
    }

    @Test
    void after_another_boot_a_lost_tail_is_what_a_power_cut_takes() throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        byte[] whole = Files.readAllBytes(log);
        put(log, Arrays.copyOf(whole, whole.length / 2));
        try (SqliteSnapshotStore store = open(NEXT_BOOT)) {
            assertThat(store.all()).hasSizeBetween(10, 30);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"deleted", "empty", "zeros"})
    void without_a_note_what_is_left_counts(String how) throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        byte[] whole = Files.readAllBytes(log);
        put(log, Arrays.copyOf(whole, whole.length / 2));
        switch (how) {
            case "deleted" -> Files.delete(noteFile);
            case "empty" -> put(noteFile, new byte[0]);
            default -> put(noteFile, new byte[100]);
        }
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).hasSizeBetween(10, 30);
        }
        assertThatCode(() -> open().close()).as("noted from then on").doesNotThrowAnyException();
    }

    @Test
    void a_note_that_cannot_be_read_is_refused() throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        byte[] whole = Files.readAllBytes(noteFile);
        for (int position = 0; position < whole.length; position++) {
            byte[] damaged = whole.clone();
            damaged[position] ^= 1;
            put(noteFile, damaged);
            assertRefused("can't be read");
        }
        put(noteFile, Arrays.copyOf(whole, 20));
        assertRefused("can't be read");
        Files.delete(noteFile);
        Files.createDirectory(noteFile);
        assertRefused("can't be read");
    }

    @Test
    void an_older_copy_in_the_place_of_the_records_is_refused() throws Exception {
        Path backup = directory.resolve("backup");
        byte[] stopped;
        try (SqliteSnapshotStore store = open()) {
            insert(store, 1);
        }
        stopped = Files.readAllBytes(database);
        try (SqliteSnapshotStore store = open()) {
            insert(store, 2);
            store.copyTo(backup);
            insert(store, 3);
        }
        put(database, stopped);
        assertRefused(MISSING);
        Files.copy(backup, database, StandardCopyOption.REPLACE_EXISTING);
        assertThatThrownBy(() -> open().close()).hasMessageContaining(MISSING);
    }

    @Test
    void other_records_in_their_place_are_refused() throws Exception {
        try (SqliteSnapshotStore store = open()) {
            insert(store, 1);
        }
        Path other = directory.resolve("other.db");
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(other)) {
            insertSome(store);
        }
        Files.move(other, database, StandardCopyOption.REPLACE_EXISTING);
        assertRefused("these are not the records");
    }

    @Test
    void records_that_are_gone_are_not_begun_anew() throws Exception {
        try (SqliteSnapshotStore store = open()) {
            insert(store, 1);
        }
        Files.delete(database);
        assertThatThrownBy(() -> open().close())
                .hasMessageContaining("there are no records")
                .hasMessageContaining(noteFile.toString());
        assertThat(database).doesNotExist();
        Files.delete(noteFile);
        assertThatCode(() -> open().close()).doesNotThrowAnyException();
    }

    @Test
    void records_in_which_nothing_was_ever_written_may_be_begun_anew() throws Exception {
        open().close();
        Files.delete(database);
        assertThatCode(() -> open().close()).doesNotThrowAnyException();
    }

    @Test
    void the_note_of_another_root_says_nothing() throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        database = directory.resolve("elsewhere.db");
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).isEmpty();
        }
    }

    @Test
    void a_restored_backup_counts_and_what_comes_after_it_is_missed() throws Exception {
        Path backup = directory.resolve("backup");
        try (SqliteSnapshotStore store = open()) {
            insert(store, 1);
            store.copyTo(backup);
            insert(store, 2);
        }
        Backup.read(backup, database).putInPlaceOf(database);
        // A tool that looks at it changes nothing of that.
        SqliteSnapshotStore.open(
                        database,
                        TransactionNote.readFrom(noteFile, new TransactionNote.Period(THIS_BOOT, THIS_FILE_SYSTEM)),
                        StoreObserver.NONE)
                .close();
        writeAndDie(store -> {
            assertThat(store.find(1L)).isPresent();
            assertThat(store.find(2L)).isEmpty();
            insert(store, 3);
        });
        byte[] whole = Files.readAllBytes(log);
        put(log, new byte[0]);
        assertRefused(MISSING);
        put(log, whole);
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.find(3L)).isPresent();
        }
    }

    /** Nothing was changed in it: only its being opened is. */
    @Test
    void a_restored_backup_that_lost_everything_since_is_refused() throws Exception {
        Path backup = directory.resolve("backup");
        try (SqliteSnapshotStore store = open()) {
            insert(store, 1);
            store.copyTo(backup);
        }
        Backup.read(backup, database).putInPlaceOf(database);
        writeAndDie(store -> insert(store, 3));
        byte[] killed = Files.readAllBytes(database);
        put(log, new byte[0]);
        assertRefused(MISSING);
        assertThat(Files.readAllBytes(database)).isEqualTo(killed);
    }

    @Test
    void the_old_records_put_back_after_a_restore_are_refused() throws Exception {
        Path backup = directory.resolve("backup");
        try (SqliteSnapshotStore store = open()) {
            insert(store, 1);
            store.copyTo(backup);
        }
        Path replaced = Backup.read(backup, database).putInPlaceOf(database).orElseThrow();
        open().close();
        Files.move(replaced, database, StandardCopyOption.REPLACE_EXISTING);
        assertRefused("these are not the records");
    }

    @Test
    void records_that_are_written_anew_from_memory_go_on_with_their_numbers() throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        try (SqliteSnapshotStore store = open()) {
            Path copy = directory.resolve("copy");
            store.copyTo(copy);
            insert(store, 50);
            insert(store, 51);
        }
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).hasSize(42);
        }
    }

    @Test
    void a_note_that_is_deleted_while_records_are_written_is_made_again() throws Exception {
        writeAndDie(store -> {
            insertSome(store);
            Files.delete(noteFile);
            store.keepNoted();
            insert(store, 50);
        });
        byte[] whole = Files.readAllBytes(log);
        put(log, Arrays.copyOf(whole, whole.length - 1));
        assertRefused(MISSING);
    }

    @Test
    void a_place_without_the_records_that_were_written_is_refused_before_anything_is_made_there() throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        Files.delete(database);
        Files.delete(log);
        TransactionNote note = TransactionNote.readFrom(
                noteFile, new TransactionNote.Period(THIS_BOOT, "another-" + THIS_FILE_SYSTEM));

        assertThatThrownBy(() -> SqliteSnapshotStore.checkMayBegin(database, note))
                .hasMessageContaining("its filesystem is not mounted");
        assertThat(database).doesNotExist();
    }

    @Test
    void a_file_of_the_version_before_gets_numbers() throws Exception {
        Schema second = new Schema(Schema.CURRENT.steps().subList(0, 2));
        try (var connection = SqliteFile.connect(database);
                var statement = connection.createStatement()) {
            second.migrate(connection, 0);
            statement.execute("INSERT INTO snapshot (id, key, kind, created_at_nanos, updated_at_nanos, labels, pool)"
                    + " VALUES (1, 'a', 'view', 0, 0, '', 'root')");
        }
        writeAndDie(store -> insert(store, 2));
        byte[] whole = Files.readAllBytes(log);
        put(log, Arrays.copyOf(whole, whole.length - 1));
        assertRefused(MISSING);
        put(log, whole);
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).hasSize(2);
        }
    }

    @Test
    void a_tool_that_opens_the_records_compares_and_notes_nothing() throws Exception {
        writeAndDie(LostTransactionsTest::insertSome);
        byte[] noted = Files.readAllBytes(noteFile);
        byte[] whole = Files.readAllBytes(log);
        put(log, Arrays.copyOf(whole, whole.length / 2));
        TransactionNote note =
                TransactionNote.readFrom(noteFile, new TransactionNote.Period(THIS_BOOT, THIS_FILE_SYSTEM));
        byte[] killed = Files.readAllBytes(database);
        assertThatThrownBy(() -> SqliteSnapshotStore.open(database, note, StoreObserver.NONE))
                .hasMessageContaining(MISSING);
        put(database, killed);
        assertThatThrownBy(() -> Backup.read(database, directory.resolve("scratch"), note))
                .hasMessageContaining(MISSING);
        put(log, whole);
        SqliteSnapshotStore.open(database, note, StoreObserver.NONE).close();
        assertThat(Files.readAllBytes(noteFile)).isEqualTo(noted);
        assertThatCode(() -> open().close()).doesNotThrowAnyException();
    }
}
