package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.RunningSnapshotterFixture.upperOf;
import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** How often Commits beside a volatile upper have the device empty its cache: that is what they wait for. */
@Tag("kernel")
class CommitFlushTest {
    private static final int TRIES = 5;
    private static final int LAYERS = 8;
    private static final int FILES = 20;
    private static final long SEED = 5;
    private static final int BOUND_SECONDS = 60;

    /**
     * Three times something goes to disk: the layer with the draft of its mark, the mark's name, the record. For each the device flushes
     * what was written before, and then the block that ends the log, or the superblock.
     */
    private static final long MOST_FLUSHES = 6;

    private static final Duration SLOW = Duration.ofMillis(10);

    /** The filesystems on which a layer can be synced alone. */
    @Retention(RetentionPolicy.RUNTIME)
    @Target(ElementType.METHOD)
    @ParameterizedTest
    @EnumSource(
            value = FileSystem.class,
            names = {"EXT4", "XFS", "BTRFS"})
    private @interface OnEachWithALog {}

    /** The least of some tries: the write probe and the filesystem's own clock flush too, seldom. */
    @OnEachWithALog
    void a_commit_flushes_no_more_than_it_needs(FileSystem fileSystem) throws Exception {
        try (Disk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root())) {
            fixture.container("default/1/container", "");
            // The first one also finds out what the filesystem can.
            commit(fixture, unpack(fixture, "first"));
            long fewest = Long.MAX_VALUE;
            for (int each = 0; each < TRIES; each++) {
                String layer = unpack(fixture, "layer-" + each);
                disk.syncfs();
                Disk.Counters before = disk.counters();
                commit(fixture, layer);
                fewest = Math.min(fewest, disk.counters().since(before).flushes());
            }
            assertThat(fewest).isBetween(1L, MOST_FLUSHES);
        }
    }

    /**
     * On a disk that takes its time over each flush, so that all the others have come to theirs before the first one is done, however
     * busy the machine: then the kernel commits the log once for all who wait, and the records are written together. On a fast one it is chance
     * (on a loop device over memory 20 to 48 flushes for eight layers, instead of 48 to 62). Half is far from what they need, and from what a lock
     * around a Commit would lead to.
     */
    @OnEachWithALog
    void commits_at_once_share_flushes(FileSystem fileSystem) throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root());
                ExecutorService threads = Executors.newFixedThreadPool(LAYERS)) {
            fixture.container("default/1/container", "");
            commit(fixture, unpack(fixture, "first"));
            List<String> inARow = unpackAll(fixture, "in-a-row-");
            List<String> atOnce = unpackAll(fixture, "at-once-");
            disk.syncfs();
            disk.delayWrites(SLOW);

            Disk.Counters before = disk.counters();
            for (String layer : inARow) {
                commit(fixture, layer);
            }
            long flushesInARow = disk.counters().since(before).flushes();

            before = disk.counters();
            CyclicBarrier begin = new CyclicBarrier(LAYERS);
            List<Future<?>> commits = new ArrayList<>();
            for (String layer : atOnce) {
                commits.add(threads.submit(() -> {
                    begin.await(BOUND_SECONDS, TimeUnit.SECONDS);
                    commit(fixture, layer);
                    return null;
                }));
            }
            for (Future<?> commit : commits) {
                assertThat(commit.get(BOUND_SECONDS, TimeUnit.SECONDS)).isNull();
            }
            long flushesAtOnce = disk.counters().since(before).flushes();
            disk.heal();

            System.out.println(fileSystem + ": flushes of " + LAYERS + " Commits: " + flushesInARow + " in a row, "
                    + flushesAtOnce + " at once");
            assertThat(flushesAtOnce).isPositive().isLessThanOrEqualTo(flushesInARow / 2);
        }
    }

    private static List<String> unpackAll(RunningSnapshotterFixture fixture, String names) throws Exception {
        List<String> layers = new ArrayList<>();
        for (int each = 0; each < LAYERS; each++) {
            layers.add(unpack(fixture, names + each));
        }
        return layers;
    }

    /** The name of a layer that is ready to be committed. */
    private static String unpack(RunningSnapshotterFixture fixture, String name) throws Exception {
        SampleTree.write(upperOf(fixture.snapshotter().prepare(key(name), "", Map.of())), FILES, SEED);
        return name;
    }

    private static void commit(RunningSnapshotterFixture fixture, String name) throws SnapshotException {
        fixture.snapshotter().commit(name, key(name), "", Map.of(), Cancellation.NEVER);
    }

    private static String key(String name) {
        return "default/2/extract-" + name;
    }
}
