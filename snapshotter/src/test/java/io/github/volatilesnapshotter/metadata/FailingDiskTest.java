package io.github.volatilesnapshotter.metadata;

import static io.github.volatilesnapshotter.metadata.Records.active;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A tmpfs of 8 MiB that is filled up: a store on it has no room, a store on a loop device over it has a disk that fails. */
@Tag("kernel")
final class FailingDiskTest {
    private static final Map<String, String> LABELS = Map.of("a label", "x".repeat(3_000));

    @TempDir
    private Path directory;

    private interface Cleanup {
        void run() throws Exception;
    }

    private final Deque<Cleanup> cleanups = new ArrayDeque<>();
    private Path small;

    @BeforeEach
    void mountTmpfs() throws Exception {
        small = mount("small", "-t", "tmpfs", "-o", "size=8m", "tmpfs");
    }

    @AfterEach
    void cleanUp() throws Exception {
        List<Exception> failures = new ArrayList<>();
        while (!cleanups.isEmpty()) {
            try {
                cleanups.pop().run();
            } catch (Exception e) {
                failures.add(e);
            }
        }
        assertThat(failures).isEmpty();
    }

    private Path mount(String name, String... what) throws Exception {
        Path target = Files.createDirectories(directory.resolve(name));
        List<String> command = new ArrayList<>(List.of("mount"));
        command.addAll(List.of(what));
        command.add(target.toString());
        run(command.toArray(String[]::new));
        cleanups.push(() -> run("umount", "--lazy", target.toString()));
        return target;
    }

    private static String run(String... command) throws Exception {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor())
                .as(String.join(" ", command) + ": " + output)
                .isZero();
        return output;
    }

    /**
     * A loop device that writes one page at a time. The driver reports a request that it could carry out in part as done (loop.c,
     * lo_complete_rq), so that a larger one that begins in a page which is there would lose the rest without an error.
     */
    private Path loopOver(Path image) throws Exception {
        Path device =
                Path.of(run("losetup", "--find", "--show", image.toString()).strip());
        cleanups.push(() -> run("losetup", "--detach", device.toString()));
        Path limit = Path.of("/sys/block", device.getFileName().toString(), "queue/max_sectors_kb");
        String usual = Files.readString(limit);
        // It would outlast the disk and slow down the next one on the same loop device.
        cleanups.push(() -> Files.writeString(limit, usual));
        Files.writeString(limit, "4");
        return device;
    }

    private Path fillUp() throws IOException {
        Path filler = small.resolve("filler");
        try (OutputStream output = Files.newOutputStream(filler)) {
            byte[] page = new byte[4_096];
            while (small.toFile().getUsableSpace() > 0) {
                output.write(page);
            }
        }
        return filler;
    }

    /** Inserts until it fails; gives how many it inserted. */
    private static int insertUntilFailure(SnapshotStore store, Reason reason) {
        int[] inserted = {0};
        assertThatThrownBy(() -> {
                    for (int i = 1; i <= 10_000; i++) {
                        insert(store, "late " + i);
                        inserted[0] = i;
                    }
                })
                .isInstanceOfSatisfying(
                        MetadataException.class, e -> assertThat(e.reason()).isEqualTo(reason));
        return inserted[0];
    }

    private static void insert(SnapshotStore store, String key) throws MetadataException {
        long id = store.newId();
        store.ordered(transaction -> {
            transaction.insert(active(id, key, 0).withLabels(LABELS));
            return null;
        });
    }

    @Test
    void a_full_disk_fails_the_write_leaves_the_records_and_is_forgotten_when_there_is_room() throws Exception {
        Path file = small.resolve("metadata.db");
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            insert(store, "early");
            Path filler = fillUp();
            int inserted = insertUntilFailure(store, Reason.DISK_FULL);
            List<SnapshotRecord> before = store.all();
            assertThat(before).hasSize(inserted + 1);
            assertThatThrownBy(() -> store.ordered(transaction -> {
                        before.forEach(
                                record -> transaction.replace(record.withLabels(Map.of("b", "y".repeat(3_500)))));
                        return null;
                    }))
                    .isInstanceOfSatisfying(
                            MetadataException.class,
                            e -> assertThat(e.isDiskFull()).isTrue())
                    .hasMessageStartingWith(file + ": write records: ")
                    .hasMessageContaining("SQLITE_FULL");
            assertThat(store.all()).isEqualTo(before);
            Files.delete(filler);
            insert(store, "after");
            assertThat(store.find("after")).isPresent();
        }
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            assertThat(store.find("early")).isPresent();
            assertThat(store.find("after")).isPresent();
        }
    }

    @Test
    void after_a_flush_that_failed_every_write_is_refused_while_the_disk_fails_and_reads_go_on() throws Exception {
        Path image = small.resolve("image");
        run("truncate", "--size=64M", image.toString());
        run("mkfs.ext4", "-q", "-b", "4096", "-O", "^has_journal", image.toString());
        Path disk = mount("disk", loopOver(image).toString());
        Path file = disk.resolve("metadata.db");
        List<SnapshotRecord> before;
        Path filler;
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            store.durable(transaction -> {
                transaction.insert(active(store.newId(), "durable", 0));
                return null;
            });
            filler = fillUp();
            for (int i = 0; i < 100; i++) {
                insert(store, "late " + i);
            }
            before = store.all();
            assertThatThrownBy(() -> store.durable(transaction -> {
                        transaction.insert(active(store.newId(), "failed", 0));
                        return null;
                    }))
                    .isInstanceOfSatisfying(
                            MetadataException.class, e -> assertThat(e.reason()).isEqualTo(Reason.FAILED))
                    .hasMessageContaining("SQLITE_IOERR_FSYNC");
            assertThatThrownBy(() -> insert(store, "refused"))
                    .isInstanceOfSatisfying(
                            MetadataException.class, e -> assertThat(e.reason()).isEqualTo(Reason.REFUSED))
                    .hasMessageContaining("refused until the file has been written anew")
                    .hasMessageContaining("SQLITE_IOERR_FSYNC");
            assertThat(store.all()).isEqualTo(before);
        }
        Files.delete(filler);
        // The closed store has left its file open, and so locked, to the end of the process.
        Path found = Files.createDirectory(directory.resolve("found")).resolve("metadata.db");
        run("cp", file.toString(), found.toString());
        run("cp", file + "-wal", found + "-wal");
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(found)) {
            List<SnapshotRecord> after = store.all();
            assertThat(after).isNotEmpty();
            assertThat(store.find("durable")).isPresent();
            assertThat(after.subList(0, Math.min(after.size(), before.size())))
                    .isEqualTo(before.subList(0, Math.min(after.size(), before.size())));
        }
    }
}
