package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.refused;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.OnSickFileSystem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The bound of what is open for active snapshots. */
@Tag("kernel")
class OpenUppersTest {
    @TempDir
    Path directory;

    @Test
    void beyond_the_bound_a_prepare_is_unavailable_and_changes_nothing() throws Exception {
        try (RunningSnapshotterFixture fixture =
                new RunningSnapshotterFixture(directory, 60_000, OnSickFileSystem.DURABLE, LayerSyncMode.AUTO, 0, 3)) {
            Snapshotter snapshotter = fixture.snapshotter();
            snapshotter.prepare("default/1/one", "", Map.of());
            snapshotter.prepare("default/2/two", "", Map.of());
            snapshotter.prepare("default/3/extract-three", "", Map.of());
            assertThat(fixture.metric("open_uppers{kind=\"overlay\"}")).isEqualTo(2);
            assertThat(fixture.metric("open_uppers{kind=\"witness\"}")).isEqualTo(1);
            assertThat(fixture.metric("open_uppers_bound")).isEqualTo(3);

            for (String key : List.of("default/4/extract-four", "default/4/four")) {
                refused(
                        Category.UNAVAILABLE,
                        "snapshot " + key + ": a file is open for each of 3 active snapshots",
                        () -> snapshotter.prepare(key, "", Map.of()));
                refused(Category.NOT_FOUND, key, () -> snapshotter.stat(key));
            }
            assertThat(directories(fixture)).isEqualTo(3);
            assertThat(fixture.layout().trash()).isEmptyDirectory();
            snapshotter.view("default/5/view", "", Map.of());

            fixture.restart();
            refused(
                    Category.UNAVAILABLE,
                    "3 active",
                    () -> fixture.snapshotter().prepare("default/6/six", "", Map.of()));
            fixture.snapshotter().commit("layer", "default/3/extract-three", "", Map.of(), Cancellation.NEVER);
            fixture.snapshotter().prepare("default/7/extract-seven", "layer", Map.of());
            fixture.snapshotter().remove("default/1/one");
            fixture.snapshotter().prepare("default/8/eight", "layer", Map.of());
            refused(
                    Category.UNAVAILABLE,
                    "3 active",
                    () -> fixture.snapshotter().prepare("default/9/nine", "", Map.of()));
        }
    }

    private static long directories(RunningSnapshotterFixture fixture) throws IOException {
        try (Stream<Path> stream = Files.list(fixture.layout().snapshots())) {
            return stream.count();
        }
    }

    @Test
    void the_bound_leaves_room_for_the_rest() {
        assertThat(OpenUppers.boundFor(1 << 20)).isEqualTo((1 << 20) - 1_024);
        assertThat(OpenUppers.boundFor(2_048)).isEqualTo(1_536);
        assertThat(OpenUppers.boundFor(1_024)).isEqualTo(768);
        assertThat(OpenUppers.boundFor(512)).isEqualTo(256);
        assertThat(OpenUppers.boundFor(200)).isZero();
    }

    @Test
    void a_start_that_can_not_hold_what_it_finds_is_refused() throws Exception {
        OpenUppers.checkLimit(0, 100);
        OpenUppers.checkLimit(872, 1_000);
        assertThatExceptionOfType(StartException.class)
                .isThrownBy(() -> OpenUppers.checkLimit(873, 1_000))
                .withMessageContaining("873 active snapshots, and the limit of open files, 1000");
    }
}
