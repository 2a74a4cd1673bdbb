package io.github.volatilesnapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.ChildJvm;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A log that its disk has lost, while reading shows it: the process that knew of the error is dead. */
@Tag("kernel")
@Timeout(60)
final class LostLogTest {
    private static final int ORDERED = 300;

    /** xfs takes back what could not be written, and btrfs shows it to nobody. */
    @ParameterizedTest
    @EnumSource(
            value = FileSystem.class,
            names = {"EXT4", "EXT4_WITHOUT_JOURNAL", "XFS"})
    void what_is_committed_after_a_lost_log_survives_a_power_cut(FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem)) {
            Path database = disk.root().resolve("metadata.db");
            run(database, "1", "0", () -> {});
            run(database, "2", Integer.toString(ORDERED), () -> {
                loseLog(disk);
            });

            run(database, "1000", "0", () -> {});
            // Only what is on disk is there afterwards.
            disk.remount();

            try (SqliteSnapshotStore store = SqliteSnapshotStore.open(database)) {
                assertThat(store.find(1L)).isPresent();
                assertThat(store.find(1000L)).isPresent();
            }
        }
    }

    private static void loseLog(FaultyDisk disk) throws IOException {
        disk.startFailing();
        try {
            disk.syncfs();
        } catch (IOException _) {
            // So nobody is told who asks later.
        }
        disk.heal();
    }

    private interface Step {
        void run() throws IOException;
    }

    /** Runs {@link #main} until it has written, and kills it after the step. */
    private static void run(Path database, String durableId, String ordered, Step step) throws Exception {
        List<String> command = ChildJvm.command(LostLogTest.class, List.of("-Xmx64m"));
        command.addAll(List.of(database.toString(), durableId, ordered));
        Process writer = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (BufferedReader output = writer.inputReader()) {
            assertThat(output.readLine()).isEqualTo("written");
            step.run();
        } finally {
            writer.destroyForcibly();
            assertThat(writer.waitFor()).isEqualTo(128 + 9);
        }
    }

    /** One durable record, then ordered ones, which nothing flushes. */
    public static void main(String[] arguments) throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(Path.of(arguments[0]))) {
            long durableId = Long.parseLong(arguments[1]);
            store.durable(transaction -> {
                transaction.insert(Records.committed(durableId, "layer " + durableId, 0));
                return null;
            });
            for (int i = 1; i <= Integer.parseInt(arguments[2]); i++) {
                long id = durableId + i;
                store.ordered(transaction -> {
                    transaction.insert(Records.active(id, "active " + id, 0));
                    return null;
                });
            }
            System.out.println("written");
            Thread.sleep(60_000);
        }
    }
}
