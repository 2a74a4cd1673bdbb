package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.EventFd;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Poll;
import io.github.volatilesnapshotter.linux.Stat;
import io.github.volatilesnapshotter.superblock.FailedFiles.Bounds;
import io.github.volatilesnapshotter.superblock.FailedFiles.Found;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Set;

/**
 * Prints how long it takes from a lost page in the kernel to its event in our hands, and what naming a file costs. Not a test: run
 * its main, as root, with the system property {@code project.root}.
 */
final class SignalFigures {
    private static final int WARM_UP = 20;
    private static final int ROUNDS = 100;
    private static final int DIRECTORIES = 100;
    private static final int FILES_IN_EACH = 500;
    private static final int FILE_BYTES = 1 << 14;
    private static final int LONGEST_WAIT_MILLIS = 10_000;

    private SignalFigures() {}

    public static void main(String[] arguments) throws Exception {
        for (Disk.FileSystem fileSystem : Disk.FileSystem.values()) {
            try (FaultyDisk disk = FaultyDisk.create(fileSystem)) {
                names(disk);
                events(disk);
            }
        }
    }

    /** From the kernel's timestamp to the parsed event. */
    private static void events(FaultyDisk disk) throws Exception {
        List<Long> nanos = Collections.synchronizedList(new ArrayList<>());
        try (ErrorTrace trace = ErrorTrace.open(
                        Device.parse(disk.number()),
                        BlockDevices.of(MountInfo.containing(disk.root())),
                        "volatile-figures-" + ProcessHandle.current().pid());
                EventFd next = EventFd.create();
                EventFd stop = EventFd.create()) {
            Thread watching = Thread.ofPlatform().start(() -> watch(trace, next, stop, nanos));
            disk.startFailing();
            for (int round = 0; nanos.size() < WARM_UP + ROUNDS && round < 10 * ROUNDS; round++) {
                Path file = disk.root().resolve("lost" + round);
                Disk.writeDirty(file, FILE_BYTES);
                try (Fd _ = Fd.openReadOnly(file)) {
                    Disk.fsync(file);
                } catch (IOException _) {
                    Poll.awaitReadable(List.of(next.fd()), LONGEST_WAIT_MILLIS);
                    next.drain();
                }
            }
            stop.signal();
            watching.join();
        }
        List<Long> counted = new ArrayList<>(nanos.subList(Math.min(WARM_UP, nanos.size()), nanos.size()));
        print(disk, "event to parsed", counted);
    }

    private static void watch(ErrorTrace trace, EventFd next, EventFd stop, List<Long> nanos) {
        try {
            while (!Poll.awaitReadable(List.of(trace.fd(), stop.fd()), LONGEST_WAIT_MILLIS)
                    .contains(stop.fd())) {
                List<FailedWriteback> events = trace.read();
                long now = System.nanoTime();
                events.stream().limit(1).forEach(event -> nanos.add(now - event.atNanos()));
                next.signal();
            }
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    private static void names(FaultyDisk disk) throws IOException {
        Path upper = disk.root().resolve("fs");
        List<FailedWriteback> some = new ArrayList<>();
        for (int directory = 0; directory < DIRECTORIES; directory++) {
            Path path = Files.createDirectories(upper.resolve("d" + directory));
            for (int number = 0; number < FILES_IN_EACH; number++) {
                Path file = Files.createFile(path.resolve("f" + number));
                if (number == 0 && some.size() < FailedFiles.MOST_FILES) {
                    some.add(new FailedWriteback(
                            Device.parse(disk.number()), Stat.of(file).inode(), 0));
                }
            }
        }
        FailedFiles files = new FailedFiles(disk.root(), MountInfo.containing(disk.root()));
        List<Long> perInode = new ArrayList<>();
        for (int round = 0; round < WARM_UP + ROUNDS; round++) {
            long start = System.nanoTime();
            files.find(some, List.of(), Bounds.DEFAULT);
            if (round >= WARM_UP) {
                perInode.add((System.nanoTime() - start) / some.size());
            }
        }
        print(disk, "name of a cached inode", perInode);
        disk.syncfs();
        disk.dropCaches();
        long missing = Integer.MAX_VALUE;
        for (String cache : new String[] {"after drop_caches", "with cached directories"}) {
            long start = System.nanoTime();
            List<Found> found = files.find(some, List.of(upper), new Bounds(1 << 20, LONGEST_WAIT_MILLIS));
            System.out.printf(
                    "%s: %s, %d of %d named after %d us%n",
                    disk.fileSystem(),
                    cache,
                    found.stream().filter(Found.At.class::isInstance).count(),
                    some.size(),
                    (System.nanoTime() - start) / 1000);
        }
        long start = System.nanoTime();
        DirectoryTree.find(upper, Set.of(missing), () -> false);
        System.out.printf(
                "%s: whole search of %d entries, %d us%n",
                disk.fileSystem(), DIRECTORIES * (FILES_IN_EACH + 1), (System.nanoTime() - start) / 1000);
    }

    private static void print(FaultyDisk disk, String what, List<Long> nanos) {
        Collections.sort(nanos);
        System.out.printf(
                "%s: %s, %d times: median %.1f us, p99 %.1f us, longest %.1f us%n",
                disk.fileSystem(),
                what,
                nanos.size(),
                nanos.get(nanos.size() / 2) / 1e3,
                nanos.get((nanos.size() * 99 + 99) / 100 - 1) / 1e3,
                nanos.getLast() / 1e3);
    }
}
