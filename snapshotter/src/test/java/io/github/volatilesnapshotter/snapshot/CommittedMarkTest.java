package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.BOUND;
import static io.github.volatilesnapshotter.snapshot.FailureScene.LAYER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.MEBIBYTE;
import static io.github.volatilesnapshotter.snapshot.FailureScene.refused;
import static io.github.volatilesnapshotter.snapshot.RunningSnapshotterFixture.upperOf;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.OnSickFileSystem;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A snapshot that stays active carries no mark of a layer: a start would tell of a layer that was thrown away. */
@Tag("kernel")
class CommittedMarkTest {
    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"default/1/extract-layer", "default/1/build"})
    void a_commit_that_is_refused_after_its_sync_takes_the_mark_back(String key) throws Exception {
        try (RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(directory)) {
            Path upper = prepare(fixture, key);
            Path mark = upper.resolveSibling("committed");
            boolean[] wasThere = new boolean[1];
            Cancellation onceItIsMarked = () -> {
                wasThere[0] |= Files.exists(mark);
                return wasThere[0];
            };

            refused(
                    Category.CANCELLED,
                    key,
                    () -> fixture.snapshotter().commit("layer", key, "", Map.of(), onceItIsMarked));

            assertThat(wasThere[0]).isTrue();
            assertThat(mark).doesNotExist();
            fixture.snapshotter().commit("layer", key, "", Map.of(), Cancellation.NEVER);
            assertThat(mark).hasContent("layer");
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = LayerSyncMode.class,
            names = {"SYNCFS", "TARGETED"})
    void a_sync_that_nobody_waits_for_any_more_leaves_none(LayerSyncMode mode) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(
                FuseDisk.create(Disk.FileSystem.EXT4),
                root -> new RunningSnapshotterFixture(root, 1_000, OnSickFileSystem.DURABLE, mode))) {
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);
            scene.disk.hangWrites();
            refused(Category.UNAVAILABLE, "is not committed", () -> scene.commit("layer", LAYER));
            scene.disk.heal();

            await().atMost(BOUND).until(() -> scene.fixture.metric("queue_length{queue=\"layer_sync\"}") == 0);
            assertThat(scene.unpacked.resolveSibling("committed")).doesNotExist();
            assertThat(scene.isPoisoned(LAYER)).isFalse();
        }
    }

    private static Path prepare(RunningSnapshotterFixture fixture, String key) throws SnapshotException {
        var mounts = fixture.snapshotter().prepare(key, "", Map.of());
        return mounts.getFirst().type().equals("overlay")
                ? upperOf(mounts)
                : Path.of(mounts.getFirst().source()).resolveSibling("fs");
    }
}
