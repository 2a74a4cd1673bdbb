package io.github.volatilesnapshotter.metadata;

import io.github.volatilesnapshotter.ChildJvm;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.awaitility.Awaitility;

/** A process that writes one known history of ordered transactions, to be killed or watched from outside. */
final class OrderedWriter {
    private static final int TOGETHER = 16;

    private OrderedWriter() {}

    /** How to start it, in a JVM like this one: an empty prefix, or a tracer. */
    static Process start(List<String> prefix, String... arguments) throws Exception {
        List<String> command = new ArrayList<>(prefix);
        command.addAll(ChildJvm.command(OrderedWriter.class, List.of("-Xmx64m")));
        command.addAll(List.of(arguments));
        return new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
    }

    public static void main(String[] arguments) throws Exception {
        Path file = Path.of(arguments[1]);
        switch (arguments[0]) {
            case "for-ever" -> writeForEver(file);
            case "in-phases" -> writeInPhases(file);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
    }

    private static void writeForEver(Path file) throws Exception {
        PrintStream acknowledgements = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            for (int step = 1; ; step++) {
                write(store, step);
                acknowledgements.println(step);
            }
        }
    }

    /** A tracer tells the phases apart by the names that are looked for. */
    private static void writeInPhases(Path file) throws Exception {
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(file)) {
            begin("few-ordered");
            for (int step = 1; step <= 300; step++) {
                write(store, step);
            }
            begin("one-durable");
            store.durable(transaction -> {
                transaction.insert(Records.committed(1_000_000, "layer", 0));
                return null;
            });
            begin("durable-without-changes");
            store.durable(transaction -> null);
            writeTogether(store);
            begin("many-ordered");
            for (int step = 301; step <= 6_000; step++) {
                write(store, step);
            }
            begin("end");
        }
    }

    /** As many Commits at once would do it, while somebody else writes. */
    private static void writeTogether(SqliteSnapshotStore store) throws Exception {
        try (ExecutorService threads = Executors.newCachedThreadPool()) {
            CountDownLatch isUnderWay = new CountDownLatch(1);
            CountDownLatch end = new CountDownLatch(1);
            Future<?> another = threads.submit(() -> store.<Boolean, InterruptedException>ordered(_ -> {
                isUnderWay.countDown();
                end.await();
                return true;
            }));
            isUnderWay.await();
            List<Future<?>> together = new ArrayList<>();
            for (int i = 1; i <= TOGETHER; i++) {
                long id = 2_000_000L + i;
                together.add(threads.submit(() -> store.<Boolean, RuntimeException>durable(transaction -> {
                    transaction.insert(Records.committed(id, "layer " + id, 0));
                    return true;
                })));
            }
            Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> store.waitingWriters() == TOGETHER);
            begin("durable-together");
            end.countDown();
            another.get();
            for (Future<?> written : together) {
                written.get();
            }
        }
    }

    private static void begin(String phase) {
        if (Files.exists(Path.of("/phase/" + phase))) {
            throw new IllegalStateException("/phase is there");
        }
    }

    /** A step inserts two records in one transaction, changes the record of an earlier step, or removes it. */
    private static void write(SqliteSnapshotStore store, int step) throws MetadataException {
        store.ordered(transaction -> {
            apply(transaction, step);
            return null;
        });
    }

    static void apply(SnapshotStore.Transaction transaction, int step) {
        switch (step % 3) {
            case 1 -> {
                transaction.insert(Records.active(step, Records.containerKey(step), 0));
                transaction.insert(Records.active(step + 1, Records.containerKey(step + 1), 0));
            }
            case 2 -> transaction.replace(Records.active(step - 1, "renamed " + step, 0));
            default -> transaction.delete(step - 1);
        }
    }
}
