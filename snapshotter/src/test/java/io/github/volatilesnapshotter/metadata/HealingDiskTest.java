package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.committed;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** A store on a disk that fails for a while. */
@Tag("kernel")
@ParameterizedClass
@EnumSource(FileSystem.class)
final class HealingDiskTest {
    private static final Map<String, String> LABELS = Map.of("a label", "x".repeat(3_000));
    private static final Duration BOUND = Duration.ofSeconds(40);
    private static final int TOGETHER = 8;

    @Parameter
    FileSystem fileSystem;

    @TempDir
    Path elsewhere;

    @AutoClose
    FaultyDisk disk;

    private final RebuildLog log = new RebuildLog();
    private DatabaseFiles files;

    @BeforeEach
    void makeDisk() throws IOException {
        disk = FaultyDisk.create(fileSystem);
        files = new DatabaseFiles(disk.root().resolve("metadata.db"));
    }

    private SqliteSnapshotStore open() throws MetadataException {
        return SqliteSnapshotStore.open(files.database(), log);
    }

    private static void insert(SnapshotStore store, String key) throws MetadataException {
        long id = store.newId();
        store.durable(transaction -> {
            transaction.insert(committed(id, key, 0).withLabels(LABELS));
            return null;
        });
    }

    private static boolean isInserted(SnapshotStore store, String key) throws MetadataException {
        try {
            insert(store, key);
            return true;
        } catch (MetadataException e) {
            if (e.reason() == Reason.REFUSED || e.reason() == Reason.FAILED) {
                return false;
            }
            throw e;
        }
    }

    /** The first transactions may fit into the last block of the log, which the disk has already. */
    private static void insertUntilDiskFails(SnapshotStore store) {
        assertThatThrownBy(() -> {
                    for (int i = 1; i <= 100; i++) {
                        insert(store, "while failing " + i);
                    }
                })
                .isInstanceOfSatisfying(
                        MetadataException.class, e -> assertThat(e.reason()).isEqualTo(Reason.FAILED))
                .hasMessageContaining("SQLITE_IOERR");
    }

    @Test
    void a_disk_that_heals_takes_durable_transactions_again_without_a_restart_and_has_every_acknowledged_record()
            throws Exception {
        List<SnapshotRecord> acknowledged;
        long lastId;
        try (SqliteSnapshotStore store = open()) {
            for (int i = 0; i < 20; i++) {
                insert(store, "before " + i);
            }
            disk.startFailing();
            insertUntilDiskFails(store);
            List<SnapshotRecord> before = store.all();
            log.awaitFailedAttempts(1);
            assertThat(store.isWritable()).isFalse();
            assertThat(store.all()).isEqualTo(before);

            disk.heal();

            Awaitility.await().atMost(BOUND).until(() -> isInserted(store, "after"));
            assertThat(store.isWritable()).isTrue();
            acknowledged = store.all();
            assertThat(acknowledged.subList(0, before.size())).isEqualTo(before);
            assertThat(acknowledged).hasSize(before.size() + 1);
            lastId = store.newId();
        }
        assertThat(log.refusals()).hasSize(1);
        disk.remount();
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).isEqualTo(acknowledged);
            assertThat(store.newId()).isGreaterThan(lastId);
        }
    }

    @Test
    void a_rebuild_that_the_disk_fails_leaves_the_old_files_and_nothing_else() throws Exception {
        try (SqliteSnapshotStore store = open()) {
            insert(store, "before");
            List<SnapshotRecord> before = store.all();
            byte[] database = Files.readAllBytes(onDisk("metadata.db", "before"));
            disk.startFailing();
            insertUntilDiskFails(store);
            byte[] refused = Files.readAllBytes(onDisk("metadata.db-wal", "refused"));

            log.awaitFailedAttempts(2);

            Path copy = onDisk("metadata.db", "copy");
            assertThat(copy).hasBinaryContent(database);
            assertThat(onDisk("metadata.db-wal", "copy")).hasBinaryContent(refused);
            assertThat(files.next()).doesNotExist();
            try (SqliteSnapshotStore old = SqliteSnapshotStore.open(copy)) {
                assertThat(old.all()).as("after a power cut now").startsWith(before.toArray(SnapshotRecord[]::new));
            }
            disk.heal();
            log.awaitRebuilt();
        }
    }

    /**
     * A copy, elsewhere, of what the device has of a file. Not what the page cache has: the kernel keeps or drops pages that it could
     * not write. A direct read writes back what is dirty, and its first failure is reported, once.
     */
    private Path onDisk(String name, String directory) throws IOException {
        Path copy = Files.createDirectories(elsewhere.resolve(directory)).resolve(name);
        String[] read = {"dd", "if=" + disk.root().resolve(name), "of=" + copy, "bs=1M", "iflag=direct", "status=none"};
        try {
            Command.run(read);
        } catch (IOException e) {
            Command.run(read);
        }
        return copy;
    }

    @Test
    void a_disk_that_fails_again_and_again_heals_each_time() throws Exception {
        List<SnapshotRecord> acknowledged;
        try (SqliteSnapshotStore store = open()) {
            for (int round = 1; round <= 3; round++) {
                String key = "round " + round;
                disk.startFailing();
                assertThatThrownBy(() -> {
                            for (int i = 1; i <= 100; i++) {
                                insert(store, key + " while failing " + i);
                            }
                        })
                        .isInstanceOf(MetadataException.class);
                disk.heal();
                Awaitility.await().atMost(BOUND).until(() -> isInserted(store, key));
                // Seen by the store, but not on the superblock, where the next failure would find it.
                assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);
            }
            acknowledged = store.all();
        }
        assertThat(log.refusals()).hasSize(3);
        disk.remount();
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).isEqualTo(acknowledged);
        }
    }

    @Test
    void a_flush_that_fails_fails_all_that_share_it_and_none_of_them_ever_happened() throws Exception {
        List<SnapshotRecord> acknowledged;
        try (SqliteSnapshotStore store = open();
                ExecutorService threads = Executors.newCachedThreadPool()) {
            insert(store, "before");
            CountDownLatch end = new CountDownLatch(1);
            Future<Boolean> another = threads.submit(() -> store.<Boolean, InterruptedException>ordered(_ -> {
                end.await();
                return true;
            }));
            List<Future<Boolean>> together = new ArrayList<>();
            for (int i = 1; i <= TOGETHER; i++) {
                String key = "together " + i;
                together.add(threads.submit(() -> {
                    insert(store, key);
                    return true;
                }));
            }
            Awaitility.await().atMost(BOUND).until(() -> store.waitingWriters() == TOGETHER);
            disk.startFailing();
            end.countDown();

            assertThat(another.get()).isTrue();
            for (Future<Boolean> failed : together) {
                assertThatThrownBy(failed::get)
                        .cause()
                        .isInstanceOfSatisfying(
                                MetadataException.class,
                                e -> assertThat(e.reason()).isEqualTo(Reason.FAILED));
            }
            assertThat(store.all()).extracting(SnapshotRecord::key).containsExactly("before");
            assertThat(log.refusals()).hasSize(1);

            disk.heal();

            Awaitility.await().atMost(BOUND).until(() -> isInserted(store, "after"));
            acknowledged = store.all();
            assertThat(acknowledged).extracting(SnapshotRecord::key).containsExactly("before", "after");
        }
        disk.remount();
        try (SqliteSnapshotStore store = open()) {
            assertThat(store.all()).isEqualTo(acknowledged);
        }
    }
}
