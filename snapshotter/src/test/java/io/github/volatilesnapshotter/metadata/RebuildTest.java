package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.active;
import static io.github.volatilesnapshotter.metadata.Records.committed;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Rebuilding, where no disk has to fail for it: the write that fails is the removal of a record that a trigger in the file keeps. A
 * file that is written anew has no trigger.
 */
final class RebuildTest {
    private static final long VICTIM = 1_000;

    @TempDir
    private Path directory;

    private final RebuildLog log = new RebuildLog();
    private DatabaseFiles files;

    @BeforeEach
    void nameFiles() {
        files = new DatabaseFiles(directory.resolve("metadata.db"));
    }

    private SqliteSnapshotStore open() throws Exception {
        if (!Files.exists(files.database())) {
            SqliteSnapshotStore.open(files.database()).close();
            keepVictim();
        }
        return SqliteSnapshotStore.open(files.database(), log);
    }

    private static void insert(SnapshotStore store, SnapshotRecord... records) throws MetadataException {
        store.durable(transaction -> {
            List.of(records).forEach(transaction::insert);
            return null;
        });
    }

    private static void delete(SnapshotStore store, long id) throws MetadataException {
        store.ordered(transaction -> {
            transaction.delete(id);
            return null;
        });
    }

    private void keepVictim() throws SQLException {
        try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + files.database());
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE TRIGGER IF NOT EXISTS keep BEFORE DELETE ON snapshot WHEN OLD.id = " + VICTIM
                    + " BEGIN SELECT RAISE(IGNORE); END");
        }
    }

    private static void makeWriteFail(SnapshotStore store) throws Exception {
        insert(store, active(VICTIM, "victim", 0));
        assertThatThrownBy(() -> delete(store, VICTIM))
                .isInstanceOfSatisfying(
                        MetadataException.class, e -> assertThat(e.reason()).isEqualTo(Reason.FAILED));
    }

    /** A directory that is not empty where the new file is to be: it can be neither removed nor written. */
    private Path obstructRebuild() throws Exception {
        return Files.createFile(Files.createDirectory(files.unfinished()).resolve("obstacle"));
    }

    private void clear(Path obstacle) throws Exception {
        Files.delete(obstacle);
        Files.delete(files.unfinished());
    }

    @Test
    void after_a_failed_write_the_file_is_written_anew_with_every_acknowledged_record() throws Exception {
        SnapshotRecord base = committed(7, "base", 0);
        // Its parent has the higher id, as after a rebase.
        SnapshotRecord layer = committed(3, "layer", 7)
                .withLabels(Map.of("two\nlines", "\\", "", "empty key"))
                .withPoison(new Poison("crash", "", "8:1", Records.SOME_TIME, List.of("a\nb", "c")));
        List<SnapshotRecord> acknowledged;
        try (SqliteSnapshotStore store = open()) {
            insert(store, base, layer);
            makeWriteFail(store);
            log.awaitRebuilt();
            assertThat(store.isWritable()).isTrue();
            delete(store, VICTIM);
            insert(store, active(VICTIM + 1, "later", 3));
            acknowledged = store.all();
            assertThat(acknowledged).extracting(SnapshotRecord::key).containsExactly("layer", "base", "later");
        }
        assertThat(log.refusals()).hasSize(1);
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).isEqualTo(acknowledged);
        }
        assertOnlyTheDatabaseIsLeft();
    }

    @Test
    void what_is_written_anew_is_not_taken_for_other_or_older_records() throws Exception {
        open().close();
        Path noteFile = directory.resolve("last-transaction");
        try (SqliteSnapshotStore store = openNoted(noteFile)) {
            insert(store, committed(1, "base", 0));
            makeWriteFail(store);
            log.awaitRebuilt();
        }
        try (SqliteSnapshotStore store = openNoted(noteFile)) {
            assertThat(store.find("base")).isPresent();
            insert(store, committed(2, "later", 0));
        }
        openNoted(noteFile).close();
    }

    private SqliteSnapshotStore openNoted(Path noteFile) throws MetadataException {
        return SqliteSnapshotStore.open(
                files.database(), TransactionNote.keptIn(noteFile, new TransactionNote.Period("this-boot", "fs")), log);
    }

    @Test
    void when_the_disk_may_be_well_again_transactions_wait_to_learn_it_but_for_those_that_must_not() throws Exception {
        try (SqliteSnapshotStore store = open()) {
            Path obstacle = obstructRebuild();
            makeWriteFail(store);
            log.awaitFailedAttempts(1);
            assertThatThrownBy(() -> insert(store, committed(1, "refused", 0)))
                    .isInstanceOfSatisfying(
                            MetadataException.class, e -> assertThat(e.reason()).isEqualTo(Reason.REFUSED));
            clear(obstacle);

            store.distrustDisk();

            assertThatThrownBy(() -> store.orderedNow(transaction -> null))
                    .isInstanceOfSatisfying(
                            MetadataException.class, e -> assertThat(e.reason()).isEqualTo(Reason.REFUSED));
            insert(store, committed(1, "waited", 0));
            delete(store, VICTIM);
            store.orderedNow(transaction -> {
                transaction.delete(1);
                return null;
            });
            assertThat(store.all()).isEmpty();
        }
    }

    @Test
    void a_doubt_about_a_disk_that_is_well_refuses_nothing() throws Exception {
        try (SqliteSnapshotStore store = open()) {
            for (int i = 1; i <= 100; i++) {
                store.distrustDisk();
                insert(store, active(i, "a" + i, 0));
            }
        }
        assertThat(log.refusals()).isEmpty();
    }

    @Test
    void only_the_owner_can_read_the_new_files() throws Exception {
        try (SqliteSnapshotStore store = open()) {
            makeWriteFail(store);
            log.awaitRebuilt();
            insert(store, active(1, "a", 0));
            try (Stream<Path> all = Files.list(directory)) {
                assertThat(all)
                        .isNotEmpty()
                        .allSatisfy(
                                file -> assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(file)))
                                        .as(file.toString())
                                        .isEqualTo("rw-------"));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {10, 2 * ReservedIds.BLOCK})
    void ids_are_not_repeated_over_a_rebuild_and_a_restart(long givenAfterRebuild) throws Exception {
        long last = 0;
        for (int run = 0; run < 2; run++) {
            RebuildLog logOfRun = new RebuildLog();
            open().close();
            keepVictim();
            try (SqliteSnapshotStore store = SqliteSnapshotStore.open(files.database(), logOfRun)) {
                Path obstacle = obstructRebuild();
                makeWriteFail(store);
                logOfRun.awaitFailedAttempts(1);
                for (int i = 0; i < 10; i++) {
                    last = nextAbove(last, store);
                }
                clear(obstacle);
                logOfRun.awaitRebuilt();
                for (int i = 0; i < givenAfterRebuild; i++) {
                    last = nextAbove(last, store);
                }
                delete(store, VICTIM);
            }
        }
    }

    private static long nextAbove(long last, SnapshotStore store) throws MetadataException {
        long id = store.newId();
        assertThat(id).isGreaterThan(last);
        return id;
    }

    @Test
    void while_it_cannot_be_rebuilt_writes_are_refused_with_the_reason_reads_go_on_and_the_old_files_stay()
            throws Exception {
        try (SqliteSnapshotStore store = open()) {
            insert(store, committed(1, "base", 0));
            Path obstacle = obstructRebuild();
            makeWriteFail(store);
            byte[] writtenBefore = Files.readAllBytes(directory.resolve("metadata.db-wal"));
            log.awaitFailedAttempts(2);
            assertThat(store.isWritable()).isFalse();
            assertThatThrownBy(() -> insert(store, active(2, "refused", 0)))
                    .isInstanceOfSatisfying(
                            MetadataException.class, e -> assertThat(e.reason()).isEqualTo(Reason.REFUSED))
                    .hasMessageContaining("refused until the file has been written anew")
                    .hasMessageContaining("changed 0 rows instead of 1");
            assertThat(store.all()).extracting(SnapshotRecord::key).containsExactly("base", "victim");
            assertThat(files.database()).exists();
            assertThat(files.next()).doesNotExist();
            assertThat(directory.resolve("metadata.db-wal")).hasBinaryContent(writtenBefore);
            clear(obstacle);
            log.awaitRebuilt();
            insert(store, active(2, "accepted", 0));
        }
        assertThat(log.failedAttempts()).startsWith(1, 2);
    }

    @Test
    void a_store_that_is_closed_while_it_cannot_be_rebuilt_does_not_wait_for_the_next_attempt() throws Exception {
        SqliteSnapshotStore store = open();
        obstructRebuild();
        makeWriteFail(store);
        log.awaitFailedAttempts(1);
        store.close();
        assertThat(store.isWritable()).isFalse();
        assertThat(files.database()).exists();
    }

    @Test
    void a_new_database_that_was_not_finished_is_thrown_away() throws Exception {
        try (SqliteSnapshotStore store = open()) {
            insert(store, committed(1, "base", 0));
        }
        Files.writeString(files.unfinished(), "half a database");
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).containsExactly(committed(1, "base", 0));
        }
        assertOnlyTheDatabaseIsLeft();
    }

    @Test
    void a_finished_database_takes_the_place_of_the_old_one_and_of_its_log() throws Exception {
        leaveFilesOfKilledProcess();
        FreshDatabase.write(
                files, Schema.CURRENT, List.of(committed(3, "fresh", 0)), new StoreRow(9_000, "fresh", 1, false));
        assertThat(directory.resolve("metadata.db-wal")).isNotEmptyFile();
        assertOpensWithTheFreshRecords();
    }

    @Test
    void a_finished_database_takes_its_place_also_when_the_old_log_is_gone_already() throws Exception {
        leaveFilesOfKilledProcess();
        FreshDatabase.write(
                files, Schema.CURRENT, List.of(committed(3, "fresh", 0)), new StoreRow(9_000, "fresh", 1, false));
        Files.delete(directory.resolve("metadata.db-wal"));
        assertOpensWithTheFreshRecords();
    }

    @Test
    void a_finished_database_takes_its_place_also_when_the_old_one_is_unreadable() throws Exception {
        Files.writeString(files.database(), "what a failed disk left: ".repeat(100));
        FreshDatabase.write(
                files, Schema.CURRENT, List.of(committed(3, "fresh", 0)), new StoreRow(9_000, "fresh", 1, false));
        assertOpensWithTheFreshRecords();
    }

    private void assertOpensWithTheFreshRecords() throws Exception {
        for (int start = 0; start < 2; start++) {
            try (SqliteSnapshotStore store = open()) {
                assertThat(store.all()).containsExactly(committed(3, "fresh", 0));
                assertThat(store.newId()).isGreaterThan(9_000);
            }
        }
        assertOnlyTheDatabaseIsLeft();
    }

    /** A database with a log that was not carried over. */
    private void leaveFilesOfKilledProcess() throws Exception {
        Path elsewhere = Files.createDirectory(directory.resolve("elsewhere")).resolve("metadata.db");
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(elsewhere)) {
            for (int id = 1; id <= 100; id++) {
                insert(store, active(id, "old " + id, 0));
            }
            for (String suffix : List.of("", "-wal")) {
                Files.copy(elsewhere.resolveSibling("metadata.db" + suffix), directory.resolve("metadata.db" + suffix));
            }
        }
        try (Stream<Path> copied = Files.list(elsewhere.getParent())) {
            for (Path file : copied.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(elsewhere.getParent());
    }

    private void assertOnlyTheDatabaseIsLeft() throws Exception {
        try (Stream<Path> left = Files.list(directory)) {
            Path log = directory.resolve("metadata.db-wal");
            assertThat(left).containsExactlyInAnyOrder(files.database(), log);
            assertThat(log).isEmptyFile();
        }
    }

    @Test
    void records_that_do_not_fit_together_are_not_written_anew() throws Exception {
        assertThatThrownBy(() -> FreshDatabase.write(
                        files, Schema.CURRENT, List.of(active(2, "a", 1)), new StoreRow(10, "fresh", 1, false)))
                .isInstanceOf(MetadataException.class)
                .hasMessageContaining("stands on a parent that is not there");
        assertThat(directory).isEmptyDirectory();
    }
}
