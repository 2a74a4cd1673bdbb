package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.active;
import static io.github.volatilesnapshotter.metadata.Records.committed;
import static java.util.Objects.requireNonNull;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class SqliteSnapshotStoreTest extends SnapshotStoreKit {
    @TempDir
    private Path directory;

    private Path file;

    @BeforeEach
    void nameFile() {
        file = directory.resolve("metadata.db");
    }

    @Override
    SnapshotStore newStore() throws Exception {
        return SqliteSnapshotStore.open(directory.resolve("kit.db"));
    }

    private static void insert(SnapshotStore store, SnapshotRecord... records) throws MetadataException {
        store.ordered(transaction -> {
            List.of(records).forEach(transaction::insert);
            return null;
        });
    }

    @Test
    void records_are_as_they_were_after_a_restart() throws Exception {
        SnapshotRecord base = committed(1, "base", 0);
        SnapshotRecord poisoned = active(2, "a\u0000b", 1)
                .withLabels(Map.of("two\nlines", "\\", "", "empty key"))
                .withUpdatedAt(Records.SOME_TIME.plusNanos(1))
                .withPoison(new Poison("crash", "", "8:1", Records.SOME_TIME, List.of("a\nb", "c")));
        SnapshotRecord view = active(3, "view", 1).withUpper(null).withKind(RecordKind.VIEW);
        SnapshotRecord poisonedWithOthers = active(4, "b", 1).withPoison(poisoned.poison());
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            insert(store, base, poisoned.withPoison(null), view, poisonedWithOthers.withPoison(null));
            store.ordered(transaction -> {
                transaction.replace(poisoned);
                transaction.poison(List.of(4L), requireNonNull(poisoned.poison()));
                return null;
            });
        }
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            assertThat(store.all()).containsExactly(base, poisoned, view, poisonedWithOthers);
            assertThatThrownBy(() -> store.ordered(transaction -> {
                        transaction.delete(1);
                        return null;
                    }))
                    .hasMessageContaining("others stand on it");
        }
    }

    @Test
    void only_the_owner_can_read_the_files() throws Exception {
        Files.createFile(file);
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rw-r--r--"));
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            insert(store, active(1, "a", 0));
            for (String name : List.of("metadata.db", "metadata.db-wal")) {
                assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(directory.resolve(name))))
                        .as(name)
                        .isEqualTo("rw-------");
            }
        }
    }

    @Test
    void a_path_may_hold_any_characters() throws Exception {
        Path odd = Files.createDirectory(directory.resolve("a b?c=d&%41#'\"")).resolve("metadata.db");
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(odd)) {
            insert(store, active(1, "a", 0));
        }
        assertThat(odd).exists();
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(odd)) {
            assertThat(store.all()).hasSize(1);
        }
    }

    @Test
    void a_directory_that_is_not_there_is_named() {
        Path lost = directory.resolve("lost").resolve("metadata.db");
        assertThatThrownBy(() -> SqliteSnapshotStore.open(lost))
                .isInstanceOf(MetadataException.class)
                .hasMessageStartingWith(lost + ": open: ");
    }

    @Test
    void a_damaged_file_is_refused_with_an_instruction_and_left_as_it_is() throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            for (int id = 1; id <= 200; id++) {
                insert(store, active(id, "key " + id, 0));
            }
        }
        try (RandomAccessFile bytes = new RandomAccessFile(file.toFile(), "rw")) {
            bytes.seek(bytes.length() / 2);
            bytes.write(new byte[2_048]);
        }
        byte[] damaged = Files.readAllBytes(file);
        refusedAs(Reason.UNUSABLE_FILE, "the file is damaged");
        assertThat(Files.readAllBytes(file)).isEqualTo(damaged);
    }

    @Test
    void a_file_that_is_no_database_is_refused_and_left_as_it_is() throws Exception {
        Files.writeString(file, "not a database, and longer than a header of one hundred bytes: ".repeat(4));
        byte[] before = Files.readAllBytes(file);
        refusedAs(Reason.UNUSABLE_FILE, "the file is damaged");
        assertThat(Files.readAllBytes(file)).isEqualTo(before);
    }

    @Test
    void a_database_of_another_program_is_refused() throws Exception {
        sql("CREATE TABLE bookmarks (url TEXT)");
        refusedAs(Reason.UNUSABLE_FILE, "not one of volatile-snapshotter");
    }

    @Test
    void a_file_of_a_newer_version_is_refused() throws Exception {
        SqliteSnapshotStore.open(file).close();
        sql("PRAGMA user_version = 99");
        refusedAs(
                Reason.UNUSABLE_FILE, "written by a newer volatile-snapshotter (schema version 99, this one knows 3)");
    }

    @Test
    void a_version_that_there_will_never_be_is_damage() throws Exception {
        SqliteSnapshotStore.open(file).close();
        sql("PRAGMA user_version = 268435459");
        refusedAs(Reason.UNUSABLE_FILE, "the file is damaged (its schema version is 268435459)");
    }

    @Test
    void a_record_whose_parent_was_taken_out_by_hand_is_damage() throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            insert(store, committed(1, "base", 0), active(2, "a", 1));
        }
        sql("PRAGMA foreign_keys = OFF", "DELETE FROM snapshot WHERE id = 1");
        refusedAs(Reason.UNUSABLE_FILE, "snapshot 2 stands on a parent that is not there");
    }

    private void refusedAs(Reason reason, String why) {
        assertThatThrownBy(() -> SqliteSnapshotStore.open(file))
                .isInstanceOfSatisfying(
                        MetadataException.class, e -> assertThat(e.reason()).isEqualTo(reason))
                .hasMessageContaining(file.toString())
                .hasMessageContaining(why);
    }

    @Test
    void the_file_itself_refuses_what_would_break_the_records() throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            insert(store, committed(1, "base", 0), active(2, "a", 1));
        }
        for (String statement : List.of(
                "DELETE FROM snapshot WHERE id = 1",
                "UPDATE snapshot SET key = 'base' WHERE id = 2",
                "UPDATE snapshot SET parent_id = 9 WHERE id = 2",
                "UPDATE snapshot SET parent_id = 2 WHERE id = 2",
                "UPDATE snapshot SET kind = 'committed' WHERE id = 2",
                "UPDATE snapshot SET upper_boot_id = NULL WHERE id = 2",
                "UPDATE snapshot SET created_at_nanos = 'yesterday' WHERE id = 2")) {
            assertThatThrownBy(() -> sql("PRAGMA foreign_keys = ON", statement))
                    .as(statement)
                    .isInstanceOf(SQLException.class)
                    .hasMessageContaining("SQLITE_CONSTRAINT");
        }
    }

    @Test
    void a_migration_that_fails_leaves_the_file_at_its_old_version() throws Exception {
        SqliteSnapshotStore.open(file).close();
        Schema broken = Schema.CURRENT.followedBy(
                new Schema.Step(List.of("ALTER TABLE snapshot ADD COLUMN note TEXT", "CREATE TABLE snapshot (id)")));
        assertThatThrownBy(() -> SqliteFile.open(file, broken)).hasMessageContaining("already exists");
        assertThat(number("PRAGMA user_version")).isEqualTo(3);
        SqliteSnapshotStore.open(file).close();
    }

    @Test
    void a_file_of_an_older_version_goes_through_the_steps_it_lacks_and_keeps_its_records() throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            insert(store, active(1, "a", 0));
        }
        Schema next = Schema.CURRENT
                .followedBy(new Schema.Step(List.of("ALTER TABLE snapshot ADD COLUMN note TEXT")))
                .followedBy(new Schema.Step(List.of("UPDATE snapshot SET note = 'seen'")));
        List<SnapshotRecord> records = new ArrayList<>();
        try (SqliteFile migrated = SqliteFile.open(file, next)) {
            migrated.load(new SharedStrings(), records::add);
        }
        assertThat(records).containsExactly(active(1, "a", 0));
        assertThat(number("PRAGMA user_version")).isEqualTo(5);
        assertThat(number("SELECT count(*) FROM snapshot WHERE note = 'seen'")).isEqualTo(1);
    }

    @Test
    void ids_go_on_above_every_id_of_the_runs_before() throws Exception {
        long last = 0;
        for (int run = 0; run < 3; run++) {
            try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
                long first = store.newId();
                assertThat(first).isGreaterThan(last);
                last = first;
                for (int i = 0; i < ReservedIds.BLOCK + 10; i++) {
                    last = store.newId();
                }
            }
        }
    }

    @Test
    void the_next_ids_are_reserved_while_half_of_the_last_are_still_left() throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            long before = idsReservedOnDisk();
            while (store.newId() < before - ReservedIds.BLOCK / 2 + 1) {}
            Awaitility.await().atMost(Duration.ofSeconds(10)).until(() -> idsReservedOnDisk() > before);
        }
    }

    @Test
    void after_a_power_cut_the_durable_is_there_the_newest_may_be_lost_and_no_id_comes_twice() throws Exception {
        Path log = directory.resolve("metadata.db-wal");
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            insert(store, committed(store.newId(), "early", 0));
            store.durable(transaction -> {
                transaction.insert(committed(store.newId(), "durable", 0));
                return null;
            });
            long flushedBytes = Files.size(log);
            for (int i = 0; i < 50; i++) {
                insert(store, active(store.newId(), "late " + i, 0), active(store.newId(), "its twin " + i, 0));
            }
            long lastId = store.newId();
            long writtenBytes = Files.size(log);
            List<SnapshotRecord> all = store.all();
            for (long keptBytes = flushedBytes; keptBytes <= writtenBytes; keptBytes += 1_117) {
                checkAfterPowerCut(all, lastId, copyWithLogOf(keptBytes));
            }
        }
    }

    private Path copyWithLogOf(long keptBytes) throws Exception {
        Path copy = Files.createTempDirectory(directory, "cut").resolve("metadata.db");
        Files.copy(file, copy);
        Path copiedLog = copy.resolveSibling("metadata.db-wal");
        Files.copy(directory.resolve("metadata.db-wal"), copiedLog);
        try (RandomAccessFile log = new RandomAccessFile(copiedLog.toFile(), "rw")) {
            log.setLength(keptBytes);
        }
        return copy;
    }

    private static void checkAfterPowerCut(List<SnapshotRecord> before, long lastId, Path copy) throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(copy)) {
            List<SnapshotRecord> after = store.all();
            assertThat(after).hasSizeGreaterThanOrEqualTo(2).isEqualTo(before.subList(0, after.size()));
            assertThat(after.size() % 2)
                    .as("no transaction of two records is half there")
                    .isZero();
            assertThat(store.newId()).isGreaterThan(lastId);
        }
    }

    @Test
    void a_durable_transaction_that_changes_nothing_still_writes_what_must_be_flushed() throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            long before = store.logBytes();
            store.ordered(transaction -> null);
            assertThat(store.logBytes()).isEqualTo(before);
            store.durable(transaction -> null);
            assertThat(store.logBytes()).isGreaterThan(before);
        }
    }

    @Test
    void the_log_is_carried_over_in_the_background_and_stays_bounded() throws Exception {
        BlockingQueue<Long> checkpoints = new LinkedBlockingQueue<>();
        StoreObserver observer = new StoreObserver() {
            @Override
            public void checkpointed(long logBytes, long blockedNanos) {
                checkpoints.add(logBytes);
            }
        };
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file, observer)) {
            int id = 0;
            while (checkpoints.size() < 3 && id < 100_000) {
                id++;
                insert(store, active(id, "key " + id, 0));
            }
            assertThat(checkpoints).hasSizeGreaterThanOrEqualTo(3);
            assertThat(checkpoints).allMatch(bytes -> bytes < 4 * SqliteSnapshotStore.LOG_CHECKPOINT_BYTES);
            assertThat(store.all()).hasSize(id);
        }
    }

    @Test
    void reads_are_answered_while_a_writer_does_not_come_back() throws Exception {
        CountDownLatch held = new CountDownLatch(1);
        CountDownLatch release = new CountDownLatch(1);
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            insert(store, committed(1, "base", 0));
            CompletableFuture<Void> writing = CompletableFuture.runAsync(() -> {
                try {
                    store.ordered(transaction -> {
                        transaction.insert(active(2, "new", 1));
                        held.countDown();
                        release.await();
                        return null;
                    });
                } catch (MetadataException | InterruptedException e) {
                    throw new CompletionException(e);
                }
            });
            held.await();

            assertTimeoutPreemptively(Duration.ofSeconds(20), () -> {
                assertThat(store.find("base")).isPresent();
                assertThat(store.find(2)).isEmpty();
                assertThat(store.all()).hasSize(1);
                assertThat(store.chain(1)).hasSize(1);
                assertThat(store.keyOf(1)).contains("base");
                assertThat(store.isWritable()).isTrue();
            });

            release.countDown();
            writing.get(10, TimeUnit.SECONDS);
            assertThat(store.find("new")).isPresent();
        }
    }

    /** The index of a log would be a file that is mapped: on a filesystem that has given up, touching it ends the daemon (SIGBUS). */
    @Test
    void nothing_of_it_is_mapped_into_memory() throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            insert(store, active(1, "a", 0));
            assertThat(Files.readString(Path.of("/proc/self/maps"))).doesNotContain(directory.toString());
            assertThatThrownBy(() -> sql("SELECT count(*) FROM snapshot")).hasMessageContaining("locked");
        }
    }

    private void sql(String... statements) throws SQLException {
        try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + file);
                Statement statement = connection.createStatement()) {
            for (String sql : statements) {
                statement.execute(sql);
            }
        }
    }

    /** In a copy: nobody else can read the file of an open store. */
    private long idsReservedOnDisk() throws Exception {
        Path copy = Files.createTempDirectory(directory, "copy").resolve("metadata.db");
        for (String suffix : List.of("", "-wal")) {
            // By another process: when one of ours closes the file, the lock of the store goes.
            new ProcessBuilder("cp", file + suffix, copy + suffix).start().waitFor();
        }
        return number(copy, "SELECT ids_reserved_through FROM store");
    }

    private long number(String query) throws SQLException {
        return number(file, query);
    }

    private static long number(Path database, String query) throws SQLException {
        try (Connection connection = DriverManager.getConnection("jdbc:sqlite:" + database);
                Statement statement = connection.createStatement();
                ResultSet row = statement.executeQuery(query)) {
            row.next();
            return row.getLong(1);
        }
    }
}
