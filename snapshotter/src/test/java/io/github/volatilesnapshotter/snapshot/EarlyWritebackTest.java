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
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Layers that reach the disk while they are unpacked. The kernel itself would begin after 30 s. */
@Tag("kernel")
class EarlyWritebackTest {
    private static final int BYTES = 32 * MEBIBYTE;
    private static final Duration SOON = Duration.ofSeconds(15);

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_layer_reaches_the_device_before_its_commit_and_a_containers_data_do_not(Disk.FileSystem fileSystem)
            throws Exception {
        try (FailureScene<FaultyDisk> scene = FailureScene.on(FaultyDisk.create(fileSystem), this::writingEarly)) {
            Disk.Counters before = scene.disk.counters();
            Disk.writeDirty(scene.merged.resolve("data"), 2 * BYTES);
            Disk.writeDirty(scene.unpacked.resolve("data"), BYTES);

            await().atMost(SOON).until(() -> scene.disk.counters().since(before).bytesWritten() >= BYTES);

            scene.commit("layer", LAYER);
            assertThat(scene.snapshotter().mounts(CONTAINER)).hasSize(1);
            if (fileSystem != Disk.FileSystem.EXT4_WITHOUT_JOURNAL) {
                assertThat(scene.disk.counters().since(before).bytesWritten()).isLessThan(2 * BYTES);
            }
            assertThat(scene.fixture.metric("early_writeback_files_total")).isPositive();
            assertThat(scene.fixture.metric("early_writeback_bytes_total")).isGreaterThanOrEqualTo(BYTES);
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

    private RunningSnapshotterFixture writingEarly(Path directory) throws Exception {
        return RunningSnapshotterFixture.writingEarly(directory, 20);
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
