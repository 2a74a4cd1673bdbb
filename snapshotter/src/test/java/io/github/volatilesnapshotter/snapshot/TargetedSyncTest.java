package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.MEBIBYTE;
import static io.github.volatilesnapshotter.snapshot.RunningSnapshotterFixture.upperOf;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.linux.MountedTempDirectory;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What a Commit brings to the device beside other dirty data. Sizes by system property: {@code sync.unrelatedMebibytes}, {@code
 * sync.layerFiles}.
 */
@Tag("kernel")
class TargetedSyncTest {
    private static final int UNRELATED_BYTES = Integer.getInteger("sync.unrelatedMebibytes", 64) * MEBIBYTE;
    private static final int LAYER_FILES = Integer.getInteger("sync.layerFiles", 300);
    private static final String CONTAINER = "default/1/container";
    private static final String LAYER = "default/2/extract-layer";
    private static final long SEED = 5;
    private static final int CALLERS = 4;
    private static final int ROUNDS = 8;

    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS", "BTRFS"})
    void beside_a_volatile_upper_a_layer_reaches_the_device_whole_and_the_uppers_data_stay_dirty(
            Disk.FileSystem fileSystem) throws Exception {
        Path upper;
        Map<String, String> written;
        try (Disk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root())) {
            Path container = fixture.container(CONTAINER, "");
            Path layer = upperOf(fixture.snapshotter().prepare(LAYER, "", Map.of()));
            disk.syncfs();
            Disk.Counters before = disk.counters();
            SampleTree.write(layer, LAYER_FILES, SEED);
            written = SampleTree.describe(layer);
            // Last: a btrfs that is short of room for metadata writes data back by itself when files are made.
            Disk.writeDirty(container.resolve("unrelated"), UNRELATED_BYTES);

            fixture.snapshotter().commit("layer", LAYER, "", Map.of(), Cancellation.NEVER);
            copy(disk);

            long writtenBytes = disk.counters().since(before).bytesWritten();
            long layerBytes =
                    fixture.snapshotter().usage("layer", Cancellation.NEVER).sizeBytes();
            assertThat(writtenBytes)
                    .as("a layer of %d bytes, beside %d that stay dirty", layerBytes, UNRELATED_BYTES)
                    .isLessThan(layerBytes + UNRELATED_BYTES / 2);
            upper = fixture.layout().root().relativize(layer);
        }
        assertThat(describeCopy(upper)).as("what is on the device").isEqualTo(written);
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS", "BTRFS"})
    void a_volatile_snapshot_becomes_a_layer_in_the_same_way(Disk.FileSystem fileSystem) throws Exception {
        Path upper;
        Map<String, String> written;
        try (Disk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root())) {
            Path container = fixture.container(CONTAINER, "");
            Path build = fixture.container("default/3/build", "");
            disk.syncfs();
            Disk.Counters before = disk.counters();
            SampleTree.write(build, LAYER_FILES, SEED);
            written = SampleTree.describe(build);
            // Last: a btrfs that is short of room for metadata writes data back by itself when files are made.
            Disk.writeDirty(container.resolve("unrelated"), UNRELATED_BYTES);

            fixture.snapshotter().commit("layer", "default/3/build", "", Map.of(), Cancellation.NEVER);
            copy(disk);

            assertThat(disk.counters().since(before).bytesWritten())
                    .isLessThan(fixture.snapshotter()
                                    .usage("layer", Cancellation.NEVER)
                                    .sizeBytes()
                            + UNRELATED_BYTES / 2);
            upper = fixture.layout().root().relativize(build.resolveSibling("fs"));
        }
        assertThat(describeCopy(upper)).as("what is on the device").isEqualTo(written);
    }

    /** A btrfs whose committing thread misses that it is wanted begins with its next turn, 30 s later. */
    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS", "BTRFS"})
    void commits_in_quick_succession_wait_for_no_periodic_commit(Disk.FileSystem fileSystem) throws Exception {
        try (Disk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root());
                ExecutorService threads = Executors.newFixedThreadPool(CALLERS)) {
            fixture.snapshotter().prepare(CONTAINER, "", Map.of());
            for (int round = 0; round < ROUNDS; round++) {
                List<Future<Long>> commits = new ArrayList<>();
                for (int caller = 0; caller < CALLERS; caller++) {
                    String name = "layer-" + round + "-" + caller;
                    commits.add(threads.submit(() -> {
                        String key = "default/2/extract-" + name;
                        SampleTree.write(upperOf(fixture.snapshotter().prepare(key, "", Map.of())), 10, SEED);
                        long begunNanos = System.nanoTime();
                        fixture.snapshotter().commit(name, key, "", Map.of(), Cancellation.NEVER);
                        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begunNanos);
                    }));
                }
                for (Future<Long> commit : commits) {
                    assertThat(commit.get()).as("milliseconds").isLessThan(10_000);
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void everything_is_written_where_no_volatile_upper_is_mounted_or_the_log_is_not_enough(Disk.FileSystem fileSystem)
            throws Exception {
        Path upper;
        Map<String, String> written;
        try (Disk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root())) {
            if (fileSystem == Disk.FileSystem.EXT4_WITHOUT_JOURNAL) {
                fixture.snapshotter().prepare(CONTAINER, "", Map.of());
            }
            Path layer = upperOf(fixture.snapshotter().prepare(LAYER, "", Map.of()));
            disk.syncfs();
            Disk.Counters before = disk.counters();
            Disk.writeDirty(disk.root().resolve("unrelated"), UNRELATED_BYTES);
            SampleTree.write(layer, LAYER_FILES, SEED);
            written = SampleTree.describe(layer);

            fixture.snapshotter().commit("layer", LAYER, "", Map.of(), Cancellation.NEVER);
            copy(disk);

            assertThat(disk.counters().since(before).bytesWritten()).isGreaterThanOrEqualTo(UNRELATED_BYTES);
            upper = fixture.layout().root().relativize(layer);
        }
        assertThat(describeCopy(upper)).as("what is on the device").isEqualTo(written);
    }

    @Test
    void a_filesystem_that_can_not_is_refused_at_start_if_it_is_asked_for() throws Exception {
        try (Disk disk = FaultyDisk.create(Disk.FileSystem.EXT4_WITHOUT_JOURNAL)) {
            assertThatThrownBy(() -> new RunningSnapshotterFixture(disk.root(), LayerSyncMode.TARGETED))
                    .isInstanceOf(StartException.class)
                    .hasMessage("layers.sync = \"targeted\" can't be done on device " + disk.number()
                            + " (ext4): it has no journal; use \"auto\" or \"syncfs\"");
        }
    }

    /** What the device holds now, which no cache of the filesystem has a part in: as after a power cut of a disk that tells the truth. */
    private void copy(Disk disk) throws IOException {
        Command.run("dd", "if=" + disk.device(), "of=" + copy(), "bs=4M", "iflag=direct", "conv=sparse", "status=none");
    }

    private Path copy() {
        return temp.path().resolve("copy.img");
    }

    /** To be called when the disk is gone: of btrfs no two with one identity are mounted at the same time. */
    private Map<String, String> describeCopy(Path upperBelowRoot) throws IOException {
        Path mounted = temp.directory("copy");
        Command.run("mount", "-o", "loop", copy().toString(), mounted.toString());
        return SampleTree.describe(mounted.resolve("root").resolve(upperBelowRoot));
    }
}
