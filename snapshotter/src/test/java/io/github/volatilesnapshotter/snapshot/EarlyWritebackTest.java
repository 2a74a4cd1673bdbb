package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.BOUND;
import static io.github.volatilesnapshotter.snapshot.FailureScene.CONTAINER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.LAYER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.MEBIBYTE;
import static io.github.volatilesnapshotter.snapshot.FailureScene.refused;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.linux.ChangedFiles;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Stat;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.OnSickFileSystem;
import io.github.volatilesnapshotter.superblock.State;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Layers that reach the disk while they are unpacked. The kernel itself would begin after 30 s. */
@Tag("kernel")
class EarlyWritebackTest {
    private static final int BYTES = 32 * MEBIBYTE;
    private static final Duration SOON = Duration.ofSeconds(15);
    private static final int INTERVAL_MILLIS = 20;
    private static final long HUGE = 1;
    private static final long SMALL = 2;

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_layer_reaches_the_device_before_its_commit_and_a_containers_data_do_not(Disk.FileSystem fileSystem)
            throws Exception {
        try (FailureScene<FaultyDisk> scene = FailureScene.on(FaultyDisk.create(fileSystem), this::writingEarly)) {
            Disk.Counters before = scene.disk.counters();
            Disk.writeDirty(scene.merged.resolve("data"), 2 * BYTES);
            Disk.writeDirty(scene.unpacked.resolve("data"), BYTES);

            await().atMost(SOON)
                    .until(() -> scene.disk.counters().since(before).bytesWritten() >= BYTES
                            && scene.fixture.metric("early_writeback_bytes_total") >= BYTES);

            scene.commit("layer", LAYER);
            assertThat(scene.snapshotter().mounts(CONTAINER)).hasSize(1);
            if (fileSystem != Disk.FileSystem.EXT4_WITHOUT_JOURNAL) {
                assertThat(scene.disk.counters().since(before).bytesWritten()).isLessThan(2 * BYTES);
            }
            assertThat(scene.fixture.metric("early_writeback_files_total")).isPositive();
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_error_that_it_provokes_is_the_superblocks_and_poisons(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem), this::writingEarly)) {
            scene.disk.fail(Blocks.DATA);
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);

            // Nobody syncs, and nobody commits.
            await().atMost(SOON).until(() -> scene.isPoisoned(LAYER));
            assertThat(scene.observer().error()).contains(Errno.EIO);
            assertThat(scene.isPoisoned(CONTAINER))
                    .as("its superblock is the same")
                    .isTrue();
            refused(Category.FAILED_PRECONDITION, "is poisoned", () -> scene.commit("layer", LAYER));
            scene.disk.heal();
            scene.snapshotter().remove(LAYER);
            scene.assertNewSnapshotsWork();
        }
    }

    @Test
    void without_a_layer_its_thread_waits_and_with_one_it_looks() throws Exception {
        try (FailureScene<FaultyDisk> scene =
                FailureScene.on(FaultyDisk.create(Disk.FileSystem.EXT4), this::writingEarly)) {
            double first = turns(scene);
            await().atMost(BOUND).until(() -> turns(scene) > first);

            scene.commit("layer", LAYER);

            // Not TIMED_WAITING: nothing wakes it but another layer.
            await().atMost(BOUND).until(() -> thread().getState() == Thread.State.WAITING);
            double last = turns(scene);
            scene.snapshotter().prepare("default/5/extract-next", "", Map.of());
            await().atMost(BOUND).until(() -> turns(scene) > last);
        }
    }

    /** Id-mapped containers, those that asked for it, and all where a sick filesystem's are made so. */
    @Test
    void a_durable_container_is_no_layer_and_left_alone_also_after_a_restart() throws Exception {
        try (FailureScene<FaultyDisk> scene =
                FailureScene.on(FaultyDisk.create(Disk.FileSystem.EXT4), this::writingEarly)) {
            scene.commit("layer", LAYER);
            Path container = RunningSnapshotterFixture.upperOf(
                    scene.snapshotter().prepare("default/5/container", "", Map.of(Labels.VOLATILE, "false")));
            Disk.writeDirty(container.resolve("data"), MEBIBYTE);

            await().atMost(BOUND).until(() -> thread().getState() == Thread.State.WAITING);
            double files = scene.fixture.metric("early_writeback_files_total");
            Thread.sleep(10 * INTERVAL_MILLIS);
            assertThat(scene.fixture.metric("early_writeback_files_total")).isEqualTo(files);
            assertThat(thread().getState()).isEqualTo(Thread.State.WAITING);

            scene.fixture.restart();
            await().atMost(BOUND).until(() -> thread().getState() == Thread.State.WAITING);
            assertThat(turns(scene)).isZero();
        }
    }

    @Test
    void what_was_being_unpacked_goes_on_being_written_back_after_a_restart() throws Exception {
        try (FailureScene<FaultyDisk> scene =
                FailureScene.on(FaultyDisk.create(Disk.FileSystem.EXT4), this::writingEarly)) {
            scene.fixture.restart();
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);
            await().atMost(BOUND).until(() -> scene.fixture.metric("early_writeback_files_total") > 0);
        }
    }

    @Test
    void an_unpack_that_rests_is_looked_at_ever_less_often_and_one_that_goes_on_at_once_again() throws Exception {
        try (FailureScene<FaultyDisk> scene =
                FailureScene.on(FaultyDisk.create(Disk.FileSystem.EXT4), this::writingEarly)) {
            Thread.sleep(100 * INTERVAL_MILLIS);
            // 20, 40, 80 and so on to 1,000 ms: not the 100 of its interval.
            double rested = turns(scene);
            assertThat(rested).isBetween(1.0, 12.0);

            for (int file = 1; file <= 20; file++) {
                double before = scene.fixture.metric("early_writeback_files_total");
                Disk.writeDirty(scene.unpacked.resolve("data" + file), MEBIBYTE);
                long begunNanos = System.nanoTime();
                await().atMost(BOUND)
                        .pollInterval(Duration.ofMillis(5))
                        .until(() -> scene.fixture.metric("early_writeback_files_total") > before);
                if (file > 1) {
                    assertThat(Duration.ofNanos(System.nanoTime() - begunNanos))
                            .as("file %d", file)
                            .isLessThan(Duration.ofMillis(900));
                }
            }
        }
    }

    @Test
    void after_a_commit_that_did_not_succeed_the_unpack_is_gone_on_with() throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(
                FuseDisk.create(Disk.FileSystem.EXT4),
                directory -> new RunningSnapshotterFixture(
                        directory, 1_000, OnSickFileSystem.DURABLE, LayerSyncMode.AUTO, INTERVAL_MILLIS, 100_000))) {
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);
            scene.disk.hangWrites();
            refused(Category.UNAVAILABLE, "is not committed", () -> scene.commit("layer", LAYER));
            scene.disk.heal();

            // Nobody prepares anything.
            await().atMost(BOUND).until(() -> scene.fixture.superblock() == State.HEALTHY);
            double before = scene.fixture.metric("early_writeback_files_total");
            Disk.writeDirty(scene.unpacked.resolve("more"), MEBIBYTE);
            await().atMost(BOUND).until(() -> scene.fixture.metric("early_writeback_files_total") > before);
        }
    }

    /** Whichever of them is the first. A turn whose thread had to wait for a processor for all of its time shows nothing. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void beside_a_huge_layer_a_small_one_gets_its_share_of_the_turn(boolean isHugeFirst, @TempDir Path root)
            throws Exception {
        Layout layout = new Layout(root);
        Path small = Files.createDirectories(layout.upper(SMALL));
        for (int directory = 0; directory < 3_000; directory++) {
            Path made = Files.createDirectories(layout.upper(HUGE).resolve("d" + directory));
            for (int file = 0; file < 8; file++) {
                Files.write(made.resolve("f" + file), new byte[1]);
            }
        }
        Metrics metrics = new Metrics();
        boolean isShared = false;
        for (int attempt = 0; attempt < 10 && !isShared; attempt++) {
            try (EarlyWriteback early = new EarlyWriteback(
                    layout, () -> List.of(HUGE, SMALL), new BegunWriteback(), _ -> false, () -> true, 0, metrics)) {
                for (int turn = 0; turn < (isHugeFirst ? 1 : 2); turn++) {
                    Files.write(small.resolve("f" + attempt + turn), new byte[1]);
                    Map<Long, ChangedFiles.Look> looks = early.turn();
                    ChangedFiles.Look huge = looks.get(HUGE);
                    isShared = looks.keySet().iterator().next() == (isHugeFirst ? HUGE : SMALL)
                            && !huge.isWhole()
                            && huge.files() > 0
                            && looks.get(SMALL).isWhole()
                            && looks.get(SMALL).files() > 0;
                }
            }
        }
        assertThat(isShared).isTrue();
    }

    @Test
    void tells_of_each_up_to_when_it_has_looked(@TempDir Path root) throws Exception {
        Layout layout = new Layout(root);
        Files.createDirectories(layout.upper(SMALL));
        BegunWriteback begun = new BegunWriteback();
        List<Long> unpacked = new ArrayList<>(List.of(SMALL));
        try (EarlyWriteback early =
                new EarlyWriteback(layout, () -> unpacked, begun, _ -> false, () -> true, 0, new Metrics())) {
            assertThat(begun.through(SMALL)).isZero();
            long beforeNanos = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis() - 1_000);
            assertThat(early.turn().get(SMALL).isWhole()).isTrue();
            assertThat(begun.through(SMALL))
                    .isBetween(beforeNanos, TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis()));
            assertThat(begun.through(HUGE)).isZero();

            unpacked.clear();
            assertThat(early.turn()).isEmpty();
            assertThat(begun.through(SMALL)).isZero();
        }
    }

    /** The other looks expect that who unpacks goes on to the next file, in a directory where it makes one. */
    @Test
    void what_others_pass_over_a_full_look_finds_however_long_ago_it_was_changed(@TempDir Path root) throws Exception {
        Layout layout = new Layout(root);
        Path resumed = writeIn(layout, "resumed");
        Path busy = writeIn(layout, "busy");
        try (EarlyWriteback early = new EarlyWriteback(
                layout, () -> List.of(SMALL), new BegunWriteback(), _ -> false, () -> true, 0, new Metrics())) {
            awaitLater(busy);
            assertThat(early.turn().get(SMALL).files()).isEqualTo(2);
            // Twice, until the directory of the other one is none any more in which something happens.
            for (int look = 0; look < 2; look++) {
                awaitLater(busy);
                append(busy);
                assertThat(early.turn().get(SMALL).files()).isEqualTo(1);
            }
            append(resumed);

            int quickLooks = 0;
            long found;
            do {
                awaitLater(resumed);
                append(busy);
                found = early.turn().get(SMALL).files();
                quickLooks++;
            } while (found == 1 && quickLooks <= EarlyWriteback.QUICK_LOOKS_BETWEEN_FULL_ONES);
            assertThat(found).isEqualTo(2);
            assertThat(quickLooks).isGreaterThan(1);
        }
    }

    private static Path writeIn(Layout layout, String directory) throws IOException {
        return Files.write(
                Files.createDirectories(layout.upper(SMALL).resolve(directory)).resolve("f"), new byte[1]);
    }

    private static void append(Path file) throws IOException {
        Files.write(file, new byte[1], StandardOpenOption.APPEND);
    }

    /** Until a look does not take the file for one that was changed a moment ago. */
    private static void awaitLater(Path file) throws Exception {
        long laterNanos = Stat.of(file).changedNanos() + TimeUnit.MILLISECONDS.toNanos(50);
        await().atMost(BOUND)
                .pollInterval(Duration.ofMillis(5))
                .until(() -> TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis()) > laterNanos);
    }

    private RunningSnapshotterFixture writingEarly(Path directory) throws Exception {
        return RunningSnapshotterFixture.writingEarly(directory, INTERVAL_MILLIS);
    }

    private static double turns(FailureScene<?> scene) {
        return scene.fixture.metric("early_writeback_turns_total{outcome=\"whole\"}")
                + scene.fixture.metric("early_writeback_turns_total{outcome=\"cut\"}");
    }

    private static Thread thread() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("early-writeback"))
                .findFirst()
                .orElseThrow();
    }
}
