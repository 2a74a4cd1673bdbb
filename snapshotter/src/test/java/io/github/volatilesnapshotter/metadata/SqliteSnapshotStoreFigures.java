package io.github.volatilesnapshotter.metadata;

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Prints what transactions cost, for docs/decisions/0002-metadata.md. Not a test: run its main, with a directory on the disk to
 * measure, one in memory for the note of the last transaction, and the daemon's JVM flags.
 */
final class SqliteSnapshotStoreFigures {
    private static final int ROUNDS = 5_000;
    private static final int CALLERS = 16;
    private static final int MANY = 10_000;

    private SqliteSnapshotStoreFigures() {}

    public static void main(String[] arguments) throws Exception {
        Path directory = Files.createTempDirectory(Path.of(arguments[0]), "figures");
        Path file = directory.resolve("metadata.db");
        Path noteFile = Files.createTempFile(Path.of(arguments[1]), "last-transaction", "");
        TransactionNote note = TransactionNote.keptIn(noteFile, new TransactionNote.Period("this-boot", "fs"));
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file, note, new Printer())) {
            store.durable(transaction -> {
                transaction.insert(Records.committed(store.newId(), "base", 0));
                return null;
            });
            long baseId = store.find("base").orElseThrow().id();
            oneCaller(store, baseId, "warm-up");
            oneCaller(store, baseId, "1 caller");
            manyCallers(store, baseId);
            durable(store);
            fill(store, baseId);
            oneCaller(store, baseId, "1 caller beside " + MANY);
        }
        for (int i = 0; i < 3; i++) {
            long begun = System.nanoTime();
            try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
                System.out.printf(
                        Locale.ROOT,
                        "open %d records: %.1f ms%n",
                        store.all().size(),
                        (System.nanoTime() - begun) / 1e6);
            }
        }
        Files.deleteIfExists(noteFile);
        Files.deleteIfExists(file);
        Files.deleteIfExists(directory);
    }

    private static void oneCaller(SqliteSnapshotStore store, long baseId, String what) throws MetadataException {
        long[] inserts = new long[ROUNDS];
        long[] updates = new long[ROUNDS];
        long[] deletes = new long[ROUNDS];
        long cpuBefore = processCpuNanos();
        for (int i = 0; i < ROUNDS; i++) {
            long begun = System.nanoTime();
            SnapshotRecord record = insert(store, baseId);
            long inserted = System.nanoTime();
            store.ordered(transaction -> {
                transaction.replace(record.withUpdatedAt(Records.SOME_TIME.plusNanos(1)));
                return null;
            });
            long updated = System.nanoTime();
            delete(store, record);
            inserts[i] = inserted - begun;
            updates[i] = updated - inserted;
            deletes[i] = System.nanoTime() - updated;
        }
        long cpu = processCpuNanos() - cpuBefore;
        System.out.printf(
                Locale.ROOT,
                "%s: insert %s, update %s, delete %s us; CPU per transaction %.1f us%n",
                what,
                quantiles(inserts),
                quantiles(updates),
                quantiles(deletes),
                cpu / 3e3 / ROUNDS);
    }

    private static void manyCallers(SqliteSnapshotStore store, long baseId) throws Exception {
        long begun = System.nanoTime();
        List<Callable<Void>> callers = new ArrayList<>();
        for (int caller = 0; caller < CALLERS; caller++) {
            callers.add(() -> {
                for (int i = 0; i < ROUNDS; i++) {
                    delete(store, insert(store, baseId));
                }
                return null;
            });
        }
        try (ExecutorService executor = Executors.newFixedThreadPool(CALLERS)) {
            for (Future<Void> done : executor.invokeAll(callers)) {
                done.get();
            }
        }
        double seconds = (System.nanoTime() - begun) / 1e9;
        System.out.printf(Locale.ROOT, "%d callers: %.0f transactions/s%n", CALLERS, 2.0 * CALLERS * ROUNDS / seconds);
    }

    private static void durable(SqliteSnapshotStore store) throws MetadataException {
        long[] took = new long[500];
        for (int i = 0; i < took.length; i++) {
            long begun = System.nanoTime();
            String name = "layer " + i;
            store.durable(transaction -> {
                transaction.insert(Records.committed(store.newId(), name, 0));
                return null;
            });
            took[i] = System.nanoTime() - begun;
        }
        System.out.printf(Locale.ROOT, "durable insert %s us%n", quantiles(took));
    }

    private static void fill(SqliteSnapshotStore store, long baseId) throws MetadataException {
        long before = liveBytes();
        for (int i = 0; i < MANY; i++) {
            insert(store, baseId);
        }
        System.out.printf(Locale.ROOT, "heap per record: %d bytes%n", (liveBytes() - before) / MANY);
    }

    private static SnapshotRecord insert(SqliteSnapshotStore store, long baseId) throws MetadataException {
        long id = store.newId();
        SnapshotRecord record = Records.active(id, Records.containerKey(id), baseId);
        return store.ordered(transaction -> {
            transaction.insert(record);
            return record;
        });
    }

    private static void delete(SqliteSnapshotStore store, SnapshotRecord record) throws MetadataException {
        store.ordered(transaction -> {
            transaction.delete(record.id());
            return null;
        });
    }

    private static String quantiles(long[] nanos) {
        Arrays.sort(nanos);
        return String.format(
                Locale.ROOT, "p50 %.0f p99 %.0f", nanos[nanos.length / 2] / 1e3, nanos[nanos.length * 99 / 100] / 1e3);
    }

    private static long processCpuNanos() {
        return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }

    private static long liveBytes() {
        System.gc();
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    private static final class Printer implements StoreObserver {
        private int checkpoints;

        @Override
        public void checkpointed(long logBytes, long blockedNanos) {
            checkpoints++;
            if (checkpoints % 50 == 1) {
                System.out.printf(
                        Locale.ROOT,
                        "checkpoint %d: log %d KiB, blocked %d us%n",
                        checkpoints,
                        logBytes / 1024,
                        blockedNanos / 1000);
            }
        }
    }
}
