package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.active;
import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a power cut leaves of the log, at each of its frames and within them. */
final class LogTailTest {
    private static final int FRAME_BYTES = 24 + SqliteFile.PAGE_BYTES;
    private static final int TRANSACTIONS = 24;
    private static final int DURABLE_EVERY = 6;

    @TempDir
    private Path directory;

    /** The records after each transaction, and how long the log was then. */
    private record Written(List<SnapshotRecord> records, long logBytes, boolean isDurable) {}

    @Test
    void whatever_is_cut_off_the_log_the_rest_is_a_beginning_with_all_that_was_durable() throws Exception {
        Path file = directory.resolve("metadata.db");
        List<Written> history = new ArrayList<>();
        byte[] database;
        byte[] log;
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            history.add(new Written(List.of(), store.logBytes(), true));
            for (int step = 1; step <= TRANSACTIONS; step++) {
                boolean isDurable = step % DURABLE_EVERY == 0;
                write(store, step, isDurable);
                history.add(new Written(store.all(), store.logBytes(), isDurable));
            }
            database = Files.readAllBytes(file);
            log = Files.readAllBytes(directory.resolve("metadata.db-wal"));
        }
        long first = history.getFirst().logBytes();
        for (long kept = log.length; kept >= first; kept -= FRAME_BYTES) {
            check(history, database, log, kept);
            check(history, database, log, Math.max(first, kept - FRAME_BYTES / 3));
        }
    }

    /** A power cut may also leave garbage, or zeros, where the tail was not written. */
    @Test
    void a_tail_that_is_not_what_was_written_is_as_good_as_cut_off() throws Exception {
        Path file = directory.resolve("metadata.db");
        List<SnapshotRecord> before;
        byte[] database;
        byte[] log;
        long durableBytes;
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            write(store, 1, true);
            before = store.all();
            durableBytes = store.logBytes();
            write(store, 2, false);
            write(store, 3, false);
            database = Files.readAllBytes(file);
            log = Files.readAllBytes(directory.resolve("metadata.db-wal"));
        }
        Arrays.fill(log, (int) durableBytes + 100, (int) durableBytes + 600, (byte) 0x5a);
        assertThat(recordsOf(database, log, log.length)).isEqualTo(before);
    }

    private void check(List<Written> history, byte[] database, byte[] log, long kept) throws Exception {
        List<SnapshotRecord> records = recordsOf(database, log, kept);
        Written expected = history.stream()
                .filter(written -> written.logBytes() <= kept)
                .reduce((_, later) -> later)
                .orElseThrow();
        assertThat(records).as("%d bytes of the log", kept).isEqualTo(expected.records());
    }

    private List<SnapshotRecord> recordsOf(byte[] database, byte[] log, long kept) throws Exception {
        Path copy = directory.resolve("copy.db");
        Files.write(copy, database);
        Files.write(directory.resolve("copy.db-wal"), Arrays.copyOf(log, (int) kept));
        try (SnapshotStore store = SqliteSnapshotStore.open(copy)) {
            return store.all();
        }
    }

    private static void write(SqliteSnapshotStore store, int step, boolean isDurable) throws MetadataException {
        SnapshotStore.Work<Integer, RuntimeException> work = transaction -> {
            transaction.insert(active(2L * step, "key " + step, 0));
            transaction.insert(active(2L * step + 1, "twin " + step, 0));
            if (step > 2) {
                transaction.delete(2L * (step - 2));
            }
            return step;
        };
        int _ = isDurable ? store.durable(work) : store.ordered(work);
    }
}
