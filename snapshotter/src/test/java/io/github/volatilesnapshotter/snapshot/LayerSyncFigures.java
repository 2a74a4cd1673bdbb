package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.OnSickFileSystem;
import io.github.volatilesnapshotter.superblock.WatchSettings;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * How long a Commit takes, for people: run as root, {@code LayerSyncFigures DIRECTORY FILESYSTEM...}, on a loop device over a file in the
 * directory. Figures are milliseconds, one for each round.
 */
final class LayerSyncFigures {
    private static final int FILES = 3_000;
    private static final int MEBIBYTES = 150;
    private static final int UNRELATED_MEBIBYTES = 512;
    private static final int PIECE_MEBIBYTES = 32;
    private static final int ROUNDS = 3;
    private static final long IMAGE_BYTES = 6L << 30;
    private static final int SLOW_SECONDS = 4;

    private LayerSyncFigures() {}

    public static void main(String[] arguments) throws Exception {
        for (String fileSystem : Arrays.copyOfRange(arguments, 1, arguments.length)) {
            run(Path.of(arguments[0]), fileSystem);
        }
    }

    private static void run(Path directory, String fileSystem) throws Exception {
        Path image = Files.createTempFile(directory, "figures", ".img");
        Path mountPoint = Files.createTempDirectory(directory, "figures");
        try {
            try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
                file.setLength(IMAGE_BYTES);
            }
            Command.run("mkfs." + fileSystem, "-q", fileSystem.equals("ext4") ? "-F" : "-f", image.toString());
            Command.run("mount", "-o", "loop", image.toString(), mountPoint.toString());
            try {
                measure(fileSystem, mountPoint);
            } finally {
                Mounting.detach(mountPoint);
            }
        } finally {
            Files.delete(image);
            DirectoryTree.delete(mountPoint);
        }
    }

    private static void measure(String fileSystem, Path directory) throws Exception {
        for (LayerSyncMode mode : List.of(LayerSyncMode.SYNCFS, LayerSyncMode.TARGETED)) {
            for (int dirty : List.of(0, UNRELATED_MEBIBYTES)) {
                try (Scene scene = new Scene(directory, mode, 0)) {
                    List<Long> took = new ArrayList<>();
                    for (int round = 0; round < ROUNDS; round++) {
                        scene.dirty(dirty);
                        scene.unpack("l" + round, FILES, MEBIBYTES, 0);
                        took.add(scene.commit("l" + round));
                    }
                    say(
                            fileSystem,
                            mode + ", " + MEBIBYTES + " MiB in " + FILES + " files beside " + dirty + " MiB dirty",
                            took);
                }
            }
            for (long interval : List.of(0L, 200L)) {
                try (Scene scene = new Scene(directory, mode, interval)) {
                    List<Long> took = new ArrayList<>();
                    for (int round = 0; round < ROUNDS; round++) {
                        scene.unpack("l" + round, FILES, MEBIBYTES, TimeUnit.SECONDS.toMillis(SLOW_SECONDS));
                        took.add(scene.commit("l" + round));
                    }
                    say(
                            fileSystem,
                            mode + ", written in " + SLOW_SECONDS + " s, early writeback every " + interval + " ms",
                            took);
                }
            }
            for (int callers : List.of(1, 4, 16)) {
                try (Scene scene = new Scene(directory, mode, 0)) {
                    List<Long> took = new ArrayList<>();
                    for (int round = 0; round < ROUNDS; round++) {
                        took.add(scene.commitAtOnce(round, callers));
                    }
                    say(fileSystem, mode + ", " + callers + " small layers at once, until the last is done", took);
                }
            }
        }
    }

    private static void say(String fileSystem, String what, List<Long> tookMicros) {
        System.out.printf("%-6s %-75s", fileSystem, what);
        tookMicros.forEach(micros -> System.out.printf(" %7.1f", micros / 1_000.0));
        System.out.printf(
                "  median %.1f%n", tookMicros.stream().sorted().toList().get(tookMicros.size() / 2) / 1_000.0);
    }

    /** One snapshotter with a container on it. */
    private static final class Scene implements AutoCloseable {
        private final Path directory;
        private final Path state = Files.createTempDirectory("figures-state");
        private final RunningSnapshotter running;
        private final Path container;

        Scene(Path mountPoint, LayerSyncMode mode, long earlyMillis) throws Exception {
            directory = Files.createTempDirectory(mountPoint, "scene");
            running = RunningSnapshotter.start(
                    new SnapshotterSettings(
                            directory,
                            state,
                            true,
                            60_000,
                            2_000,
                            10_000,
                            0,
                            OnSickFileSystem.DURABLE,
                            new WatchSettings(1_000, 10_000, 10_000),
                            mode,
                            earlyMillis,
                            100_000),
                    new Metrics(),
                    _ -> {});
            container = Path.of(running.snapshotter()
                    .prepare("default/1/container", "", Map.of())
                    .getFirst()
                    .source());
            Command.run("sync", "--file-system", directory.toString());
        }

        void dirty(int mebibytes) throws IOException {
            for (int i = 0; i < mebibytes / PIECE_MEBIBYTES; i++) {
                Path piece = container.resolve("unrelated" + i);
                Files.deleteIfExists(piece);
                Disk.writeDirty(piece, PIECE_MEBIBYTES << 20);
            }
        }

        void unpack(String name, int files, int mebibytes, long millis) throws Exception {
            Path upper = RunningSnapshotterFixture.upperOf(
                    running.snapshotter().prepare("default/1/extract-" + name, "", Map.of()));
            Random random = new Random(files);
            int most = (int) ((2L << 20) * mebibytes / files);
            long begunNanos = System.nanoTime();
            for (int i = 0; i < files; i++) {
                byte[] content = new byte[1 + random.nextInt(most)];
                random.nextBytes(content);
                Path into = Files.createDirectories(upper.resolve("d" + i / 100));
                Files.write(into.resolve("f" + i), content);
                long aheadNanos = begunNanos + TimeUnit.MILLISECONDS.toNanos(millis) * i / files - System.nanoTime();
                if (aheadNanos > 0) {
                    TimeUnit.NANOSECONDS.sleep(aheadNanos);
                }
            }
        }

        long commit(String name) throws SnapshotException {
            long begunNanos = System.nanoTime();
            running.snapshotter().commit(name, "default/1/extract-" + name, "", Map.of(), Cancellation.NEVER);
            return (System.nanoTime() - begunNanos) / 1_000;
        }

        long commitAtOnce(int round, int callers) throws Exception {
            List<String> names = new ArrayList<>();
            for (int i = 0; i < callers; i++) {
                names.add("s" + round + "-" + i);
                unpack(names.get(i), 50, 2, 0);
            }
            CountDownLatch start = new CountDownLatch(1);
            try (ExecutorService threads = Executors.newFixedThreadPool(callers)) {
                List<Future<Long>> commits = new ArrayList<>();
                for (String name : names) {
                    commits.add(threads.submit(() -> {
                        start.await();
                        return commit(name);
                    }));
                }
                long begunNanos = System.nanoTime();
                start.countDown();
                for (Future<Long> commit : commits) {
                    commit.get();
                }
                return (System.nanoTime() - begunNanos) / 1_000;
            }
        }

        @Override
        public void close() throws IOException, MetadataException, TimeoutException {
            running.closeAndUnmount();
            DirectoryTree.delete(directory);
            DirectoryTree.delete(state);
        }
    }
}
