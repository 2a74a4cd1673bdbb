package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.active;
import static io.github.volatilesnapshotter.metadata.Records.committed;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A file that is not what was written is refused, with what to do, and left as it is; or it does not matter. */
final class DamagedFileTest {
    private static final int RECORDS = 120;
    private static final int FLIPS = 150;

    @TempDir
    private Path directory;

    private final List<SnapshotRecord> records = new ArrayList<>();
    private byte[] whole;
    private Path copy;

    @BeforeEach
    void writeRecords() throws Exception {
        Path file = directory.resolve("metadata.db");
        try (SnapshotStore store = SqliteSnapshotStore.open(file)) {
            records.add(committed(1, "layer", 0));
            for (int id = 2; id <= RECORDS; id++) {
                records.add(active(id, Records.containerKey(id), id % 2));
            }
            store.durable(transaction -> {
                records.forEach(transaction::insert);
                return null;
            });
        }
        whole = Files.readAllBytes(file);
        copy = directory.resolve("copy.db");
    }

    @Test
    void one_that_was_cut_off_is_refused() throws Exception {
        for (int length = SqliteFile.PAGE_BYTES; length < whole.length; length += SqliteFile.PAGE_BYTES) {
            assertRefused(Arrays.copyOf(whole, length), "cut off at " + length);
            assertRefused(Arrays.copyOf(whole, length + 100), "cut off at " + (length + 100));
        }
    }

    @Test
    void one_with_a_page_of_zeros_is_refused() throws Exception {
        for (int page = 0; page < whole.length; page += SqliteFile.PAGE_BYTES) {
            byte[] damaged = whole.clone();
            Arrays.fill(damaged, page, page + SqliteFile.PAGE_BYTES, (byte) 0);
            assertRefused(damaged, "a page of zeros at " + page);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2})
    void a_flipped_bit_in_a_record_or_an_index_is_refused_or_changes_nothing(long seed) throws Exception {
        Random random = new Random(seed);
        int refused = 0;
        for (int flip = 0; flip < FLIPS; flip++) {
            byte[] damaged = whole.clone();
            int position = random.nextInt(damaged.length);
            damaged[position] ^= (byte) (1 << random.nextInt(Byte.SIZE));
            if (isRefused(damaged)) {
                refused++;
            } else {
                assertThat(loaded()).as("byte %d, seed %d", position, seed).isEqualTo(records);
            }
        }
        assertThat(refused).as("what is not free space").isGreaterThan(FLIPS / 2);
    }

    @Test
    void an_empty_one_counts_as_missing() throws Exception {
        Path empty = Files.createFile(directory.resolve("empty.db"));
        assertThat(SqliteSnapshotStore.isMissing(empty)).isTrue();
        assertThat(SqliteSnapshotStore.isMissing(directory.resolve("nobody.db")))
                .isTrue();
        assertThat(SqliteSnapshotStore.isMissing(directory.resolve("metadata.db")))
                .isFalse();
        Files.write(directory.resolve("empty.db.next"), whole);
        assertThat(SqliteSnapshotStore.isMissing(empty))
                .as("a new one waits beside it")
                .isFalse();
    }

    @Test
    void a_log_that_is_missing_is_refused() throws Exception {
        copyOfOneInUse();
        Files.delete(log());
        assertRefusedNow("its write-ahead log copy.db-wal is missing");
        assertThat(log()).as("nor would the next start find one").doesNotExist();
        assertRefusedNow("its write-ahead log copy.db-wal is missing");
    }

    @Test
    void a_log_of_garbage_is_refused() throws Exception {
        copyOfOneInUse();
        byte[] garbage = new byte[60_000];
        new Random(1).nextBytes(garbage);
        Files.write(log(), garbage);
        assertRefusedNow("its write-ahead log is none");
    }

    @Test
    void a_log_with_a_damaged_header_is_refused() throws Exception {
        copyOfOneInUse();
        byte[] log = Files.readAllBytes(log());
        log[17] ^= 1;
        Files.write(log(), log);
        assertRefusedNow("the header of its write-ahead log does not match its checksum");
        Arrays.fill(log, 0, LogHeader.LENGTH_BYTES, (byte) 0);
        Files.write(log(), log);
        assertRefusedNow("the header of its write-ahead log is empty");
    }

    @Test
    void a_damaged_one_keeps_its_log_too() throws Exception {
        copyOfOneInUse();
        byte[] damaged = Files.readAllBytes(copy);
        Arrays.fill(damaged, 3 * SqliteFile.PAGE_BYTES, 4 * SqliteFile.PAGE_BYTES, (byte) 0x11);
        Files.write(copy, damaged);
        byte[] log = Files.readAllBytes(log());
        assertRefusedNow("the file is damaged");
        assertThat(Arrays.equals(Files.readAllBytes(log()), log)).isTrue();
    }

    /** The window of a carrying over: everything is in the database, the log was just emptied. */
    @Test
    void an_empty_log_is_what_a_kill_may_leave() throws Exception {
        Files.write(copy, whole);
        SqliteSnapshotStore.open(copy).close();
        ByteBuffer inUse = ByteBuffer.wrap(Files.readAllBytes(copy)).putInt(68, Schema.APPLICATION_ID_IN_USE);
        Files.write(copy, inUse.array());
        assertThat(log()).isEmptyFile();
        assertThat(loaded()).isEqualTo(records);
        Files.write(copy, inUse.array());
        Files.write(log(), new byte[1_080]);
        assertThat(loaded()).as("a log of which no header was flushed").isEqualTo(records);
    }

    @Test
    void what_a_process_that_was_killed_leaves_is_whole() throws Exception {
        copyOfOneInUse();
        assertThat(loaded()).hasSize(RECORDS + 100);
    }

    @Test
    void records_of_version_one_have_no_checksum_and_are_read() throws Exception {
        Schema first = new Schema(Schema.CURRENT.steps().subList(0, 1));
        Path old = directory.resolve("old.db");
        try (var connection = SqliteFile.connect(old);
                var statement = connection.createStatement()) {
            first.migrate(connection, 0);
            statement.execute("INSERT INTO snapshot (id, key, kind, created_at_nanos, updated_at_nanos, labels, pool)"
                    + " VALUES (1, 'a', 'view', 0, 0, '', 'root')");
        }
        try (SnapshotStore store = SqliteSnapshotStore.open(old)) {
            assertThat(store.find("a")).isPresent();
        }
    }

    private void copyOfOneInUse() throws Exception {
        Path used = directory.resolve("used.db");
        Files.write(used, whole);
        try (SnapshotStore store = SqliteSnapshotStore.open(used)) {
            for (int id = RECORDS + 1; id <= RECORDS + 100; id++) {
                SnapshotRecord record = active(id, "late " + id, 0);
                store.ordered(transaction -> {
                    transaction.insert(record);
                    return null;
                });
            }
            Files.copy(used, copy);
            Files.copy(used.resolveSibling("used.db-wal"), log());
        }
    }

    private Path log() {
        return copy.resolveSibling("copy.db-wal");
    }

    private List<SnapshotRecord> loaded() throws Exception {
        try (SnapshotStore store = SqliteSnapshotStore.open(copy)) {
            return store.all();
        }
    }

    private void assertRefused(byte[] damaged, String how) throws IOException {
        assertThat(isRefused(damaged)).as(how).isTrue();
    }

    /** What is refused has to be what it was. */
    private boolean isRefused(byte[] damaged) throws IOException {
        Files.deleteIfExists(log());
        Files.write(copy, damaged);
        try (SnapshotStore store = SqliteSnapshotStore.open(copy)) {
            return store.all().isEmpty();
        } catch (MetadataException e) {
            assertThat(e.reason()).as(e.getMessage()).isEqualTo(Reason.UNUSABLE_FILE);
            assertThat(Arrays.equals(Files.readAllBytes(copy), damaged))
                    .as("left as it is: " + e.getMessage())
                    .isTrue();
            return true;
        }
    }

    private void assertRefusedNow(String why) throws IOException {
        byte[] before = Files.readAllBytes(copy);
        assertThatThrownBy(() -> SqliteSnapshotStore.open(copy))
                .isInstanceOf(MetadataException.class)
                .hasMessageContaining(why)
                .hasMessageContaining("volatilectl restore FILE")
                .hasMessageContaining("left as it is");
        assertThat(Arrays.equals(Files.readAllBytes(copy), before)).isTrue();
    }
}
