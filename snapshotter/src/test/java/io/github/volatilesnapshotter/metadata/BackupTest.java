package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.active;
import static io.github.volatilesnapshotter.metadata.Records.committed;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class BackupTest {
    @TempDir
    private Path directory;

    private Path database;
    private Path copy;

    @BeforeEach
    void nameFiles() {
        database = directory.resolve("metadata.db");
        copy = directory.resolve("backup.db");
    }

    private static void insert(SnapshotStore store, SnapshotRecord... records) throws MetadataException {
        store.ordered(transaction -> {
            List.of(records).forEach(transaction::insert);
            return null;
        });
    }

    private Backup read() throws MetadataException {
        return Backup.read(copy, directory.resolve("scratch"));
    }

    @Test
    void a_copy_has_all_records_is_one_file_and_does_not_disturb_the_store() throws Exception {
        SnapshotRecord layer = committed(1, "layer", 0);
        SnapshotRecord poisoned =
                active(2, "a\nb", 1).withPoison(new Poison("crash", "", "8:1", Records.SOME_TIME, List.of("file")));
        try (SnapshotStore store = SqliteSnapshotStore.open(database)) {
            insert(store, layer, poisoned);
            store.copyTo(copy);
            insert(store, active(3, "later", 0));
            assertThat(store.all()).hasSize(3);
        }
        assertThat(read().records()).containsExactly(layer, poisoned);
        try (var names = Files.list(directory)) {
            assertThat(names.map(path -> path.getFileName().toString()))
                    .containsExactlyInAnyOrder("metadata.db", "metadata.db-wal", "backup.db");
        }
    }

    @Test
    void a_copy_holds_no_half_of_a_transaction() throws Exception {
        AtomicBoolean isOver = new AtomicBoolean();
        try (SnapshotStore store = SqliteSnapshotStore.open(database)) {
            CompletableFuture<Void> writing = CompletableFuture.runAsync(() -> {
                for (int id = 1; !isOver.get() && id < 4_000; id += 2) {
                    try {
                        insert(store, active(id, "one " + id, 0), active(id + 1, "its twin " + id, 0));
                    } catch (MetadataException e) {
                        throw new CompletionException(e);
                    }
                }
            });
            try {
                for (int turn = 0; turn < 5; turn++) {
                    Files.deleteIfExists(copy);
                    store.copyTo(copy);
                    List<SnapshotRecord> records = read().records();
                    assertThat(records.size() % 2).isZero();
                    assertThat(records).allMatch(record -> record.id() <= records.size());
                }
            } finally {
                isOver.set(true);
            }
            writing.join();
        }
    }

    @Test
    void a_backup_that_is_put_in_place_keeps_what_was_there_and_gives_no_id_again() throws Exception {
        long lastId;
        try (SnapshotStore store = SqliteSnapshotStore.open(database)) {
            insert(store, active(store.newId(), "then", 0));
            store.copyTo(copy);
            insert(store, active(store.newId(), "since", 0));
            for (int id = 0; id < 3 * ReservedIds.BLOCK; id++) {
                store.newId();
            }
            lastId = store.newId();
        }
        Optional<Path> replaced = read().putInPlaceOf(database);
        assertThat(keys(database)).containsExactly("then");
        assertThat(replaced).isPresent();
        assertThat(keys(replaced.get())).containsExactly("then", "since");
        try (SnapshotStore store = SqliteSnapshotStore.open(database)) {
            assertThat(store.newId()).isGreaterThan(lastId);
        }
    }

    @Test
    void a_damaged_database_with_its_log_is_kept_as_it_is() throws Exception {
        try (SnapshotStore store = SqliteSnapshotStore.open(database)) {
            insert(store, active(1, "then", 0));
            store.copyTo(copy);
        }
        Files.writeString(database, "damaged");
        Files.writeString(directory.resolve("metadata.db-wal"), "its log");
        Path replaced = read().putInPlaceOf(database).orElseThrow();
        assertThat(replaced).hasContent("damaged");
        assertThat(replaced.resolveSibling(replaced.getFileName() + "-wal")).hasContent("its log");
        assertThat(directory.resolve("metadata.db-wal")).doesNotExist();
        assertThat(keys(database)).containsExactly("then");
    }

    @Test
    void it_can_be_put_where_nothing_is_left() throws Exception {
        try (SnapshotStore store = SqliteSnapshotStore.open(database)) {
            insert(store, active(1, "then", 0));
            store.copyTo(copy);
        }
        Files.delete(database);
        assertThat(read().putInPlaceOf(database)).isEmpty();
        assertThat(keys(database)).containsExactly("then");
    }

    @Test
    void a_copy_of_the_files_of_a_running_store_is_one_too_but_not_without_its_log() throws Exception {
        try (SnapshotStore store = SqliteSnapshotStore.open(database)) {
            insert(store, active(1, "then", 0));
            Files.copy(database, copy);
            Files.copy(directory.resolve("metadata.db-wal"), directory.resolve("backup.db-wal"));
        }
        assertThat(read().records()).hasSize(1);
        Files.delete(directory.resolve("backup.db-wal"));
        assertRefused("is missing: it was lost, or this is a copy of the file alone, made while a daemon ran");
    }

    @Test
    void what_is_none_is_refused_and_changes_nothing() throws Exception {
        SqliteSnapshotStore.open(database).close();
        byte[] before = Files.readAllBytes(database);
        Files.createFile(copy);
        assertRefused("it is no backup: there is nothing in it");
        Files.writeString(copy, "something else, longer than a header of a database. ".repeat(10));
        assertRefused("file is not a database");
        Files.delete(copy);
        try (var connection = SqliteFile.connect(copy);
                var statement = connection.createStatement()) {
            statement.execute("CREATE TABLE bookmarks (url TEXT)");
        }
        assertRefused("not one of volatile-snapshotter");
        Files.write(copy, before);
        try (var connection = SqliteFile.connect(copy);
                var statement = connection.createStatement()) {
            statement.execute("PRAGMA user_version = 99");
        }
        assertRefused("written by a newer volatile-snapshotter");
        assertThat(Files.readAllBytes(database)).isEqualTo(before);
    }

    private void assertRefused(String why) {
        assertThatThrownBy(this::read)
                .isInstanceOf(MetadataException.class)
                .hasMessageContaining(copy.toString())
                .hasMessageContaining(why);
        assertThat(directory.resolve("scratch.restoring")).doesNotExist();
    }

    private static List<String> keys(Path file) throws MetadataException {
        try (SnapshotStore store = SqliteSnapshotStore.open(file)) {
            return store.all().stream().map(SnapshotRecord::key).toList();
        }
    }
}
