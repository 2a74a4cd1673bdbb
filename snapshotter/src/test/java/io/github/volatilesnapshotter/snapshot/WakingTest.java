package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.CONTAINER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.LAYER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.MEBIBYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.lab.ReadOnlyTracefs;
import io.github.volatilesnapshotter.superblock.State;
import io.github.volatilesnapshotter.superblock.WatchSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** What wakes a watch whose own turn would come in an hour. */
@Tag("kernel")
class WakingTest {
    private static final long HOUR_MILLIS = 3_600_000;

    /** Of a machine that is busy; on a quiet one some milliseconds. Without what wakes the watch it would be an hour. */
    private static final Duration SOON = Duration.ofSeconds(10);

    private static final Duration QUIET = Duration.ofSeconds(1);

    private static FailureScene<FuseDisk> scene(Disk.FileSystem fileSystem, WatchSettings watch) throws Exception {
        FailureScene<FuseDisk> scene = FailureScene.on(
                FuseDisk.create(fileSystem), directory -> RunningSnapshotterFixture.watching(directory, watch));
        scene.awaitRehearsed();
        return scene;
    }

    private static void loseForeignWrite(FuseDisk disk) throws IOException {
        Path file = disk.root().resolve("foreign");
        Disk.writeDirty(file, MEBIBYTE);
        disk.fail(Blocks.DATA);
        assertThatThrownBy(() -> Disk.fsync(file)).isInstanceOf(IOException.class);
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void the_trace_tells_of_a_failed_writeback_at_once(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = scene(fileSystem, new WatchSettings(HOUR_MILLIS, HOUR_MILLIS, 10_000))) {
            assertThat(scene.fixture.metric("error_trace")).isEqualTo(1);
            loseForeignWrite(scene.disk);

            // Told once it is recorded; nobody asks the snapshotter.
            await().atMost(SOON)
                    .until(() -> scene.fixture.poisonedNanos.keySet().containsAll(List.of(CONTAINER, LAYER)));
        }
    }

    @Test
    void without_the_trace_and_until_its_turn_the_watch_knows_nothing_of_it() throws Exception {
        try (ReadOnlyTracefs _ = ReadOnlyTracefs.mount();
                FailureScene<FuseDisk> scene =
                        scene(Disk.FileSystem.EXT4, new WatchSettings(HOUR_MILLIS, HOUR_MILLIS, 10_000))) {
            loseForeignWrite(scene.disk);

            await().during(QUIET)
                    .atMost(SOON)
                    .until(() -> scene.fixture.poisonings.isEmpty() && scene.fixture.superblock() == State.HEALTHY);
            assertThat(scene.isPoisoned(CONTAINER))
                    .as("but whoever asks learns it")
                    .isTrue();
        }
    }

    /** Without the trace, which tells of the journal's lost writes too. */
    @Test
    void an_ext4_tells_of_its_aborted_journal_as_soon_as_it_knows() throws Exception {
        try (ReadOnlyTracefs _ = ReadOnlyTracefs.mount();
                FailureScene<FuseDisk> scene =
                        scene(Disk.FileSystem.EXT4, new WatchSettings(HOUR_MILLIS, HOUR_MILLIS, 10_000))) {
            scene.disk.fail(Blocks.METADATA);
            Path file = Files.createFile(scene.disk.root().resolve("lost"));
            assertThatThrownBy(() -> Disk.fsync(file)).isInstanceOf(IOException.class);
            assertThatThrownBy(() -> Files.createFile(scene.merged.resolve("more")))
                    .as("the next change, by which ext4 learns of it")
                    .isInstanceOf(IOException.class);

            await().atMost(SOON).until(() -> scene.fixture.superblock() == State.FAILED);
            await().atMost(SOON)
                    .until(() -> scene.fixture.poisonedNanos.keySet().containsAll(List.of(CONTAINER, LAYER)));
        }
    }

    interface Call {
        void on(Snapshotter snapshotter) throws SnapshotException;
    }

    enum Calls implements Call {
        MOUNTS {
            @Override
            public void on(Snapshotter snapshotter) throws SnapshotException {
                var _ = snapshotter.mounts(CONTAINER);
            }
        },
        COMMIT {
            @Override
            public void on(Snapshotter snapshotter) throws SnapshotException {
                snapshotter.commit("default/3/layer", LAYER, "", Map.of(), () -> false);
            }
        },
        UPDATE {
            @Override
            public void on(Snapshotter snapshotter) throws SnapshotException {
                var _ = snapshotter.update(CONTAINER, Map.of("label", "value"), List.of());
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"XFS, MOUNTS", "XFS, COMMIT", "XFS, UPDATE", "EXT4, COMMIT", "EXT4, UPDATE"})
    void a_call_that_fails_has_the_filesystem_looked_at(Disk.FileSystem fileSystem, Calls call) throws Exception {
        try (FailureScene<FuseDisk> scene = scene(fileSystem, new WatchSettings(HOUR_MILLIS, HOUR_MILLIS, 10_000))) {
            FileSystemGoneRowsTest.shutDown(scene.disk);

            assertThatThrownBy(() -> call.on(scene.snapshotter())).isInstanceOf(SnapshotException.class);

            await().atMost(SOON).until(() -> scene.fixture.superblock() == State.FAILED);
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void the_write_probe_finds_a_disk_that_hangs_however_seldom_the_sentinel_is_asked(Disk.FileSystem fileSystem)
            throws Exception {
        long probeMillis = 500;
        long timeoutMillis = 1_000;
        Duration noticed = Duration.ofMillis(probeMillis + timeoutMillis).plus(SOON);
        try (FailureScene<FuseDisk> scene =
                scene(fileSystem, new WatchSettings(HOUR_MILLIS, probeMillis, timeoutMillis))) {
            scene.disk.hang();

            await().atMost(noticed).until(() -> scene.fixture.superblock() == State.HUNG);
            scene.disk.heal();
            scene.awaitState(State.HEALTHY);
            assertThat(scene.fixture.poisonings).isEmpty();
        }
    }
}
