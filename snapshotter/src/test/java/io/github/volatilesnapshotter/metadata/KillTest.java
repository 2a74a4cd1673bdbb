package io.github.volatilesnapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.BufferedReader;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class KillTest {
    @TempDir
    private Path directory;

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void a_process_that_is_killed_loses_no_transaction_that_returned_and_leaves_none_half_done(long seed)
            throws Exception {
        Path file = directory.resolve("metadata.db");
        int acknowledged = killAfter(new Random(seed).nextInt(1, 4_000), file);
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            assertThat(store.all()).isIn(recordsAfter(acknowledged), recordsAfter(acknowledged + 1));
        }
    }

    /** Kills the writer when it has acknowledged so many; gives the last that it acknowledged before it died. */
    private static int killAfter(int steps, Path file) throws Exception {
        Process writer = OrderedWriter.start(List.of(), "for-ever", file.toString());
        int acknowledged = 0;
        try (BufferedReader output = writer.inputReader()) {
            for (String line = output.readLine(); line != null; line = output.readLine()) {
                acknowledged = Integer.parseInt(line);
                if (acknowledged == steps) {
                    writer.toHandle().destroyForcibly(); // SIGKILL; what it has written can still be read
                }
            }
        } finally {
            writer.destroyForcibly();
        }
        assertThat(writer.waitFor()).isEqualTo(128 + 9);
        assertThat(acknowledged).isGreaterThanOrEqualTo(steps);
        return acknowledged;
    }

    private static List<SnapshotRecord> recordsAfter(int steps) {
        Mirror records = new Mirror();
        for (int step = 1; step <= steps; step++) {
            ChangeSet transaction = new ChangeSet(records, new SharedStrings());
            OrderedWriter.apply(transaction, step);
            records.apply(transaction.finish());
        }
        return records.all();
    }
}
