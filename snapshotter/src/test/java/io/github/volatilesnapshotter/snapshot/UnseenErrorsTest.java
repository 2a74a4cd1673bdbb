package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.CONTAINER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.LAYER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.MEBIBYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.LoggedLines;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.lab.ReadOnlyTracefs;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.superblock.State;
import io.github.volatilesnapshotter.superblock.WatchSettings;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Writeback errors that nobody has seen, and who clears them where no watch and no trace does: each is counted and logged. */
@Tag("kernel")
class UnseenErrorsTest {
    private static final long HOUR_MILLIS = 3_600_000;
    private static final String CLEARED = "an unseen writeback error is cleared";

    /** Nobody looks but who is asked for something. */
    private static FailureScene<FuseDisk> unwatched(Disk.FileSystem fileSystem) throws Exception {
        FailureScene<FuseDisk> scene = FailureScene.on(
                FuseDisk.create(fileSystem),
                directory -> RunningSnapshotterFixture.watching(
                        directory, new WatchSettings(HOUR_MILLIS, HOUR_MILLIS, 10_000)));
        scene.awaitRehearsed();
        return scene;
    }

    private static void loseForeignWrite(FuseDisk disk) throws IOException {
        Path file = disk.root().resolve("foreign");
        Disk.writeDirty(file, MEBIBYTE);
        disk.fail(Blocks.DATA);
        assertThatThrownBy(() -> Disk.fsync(file)).isInstanceOf(IOException.class);
        disk.heal();
    }

    private static void assertUnseenAndUnnoticed(FailureScene<?> scene) {
        assertThatThrownBy(() -> Observer.on(scene.disk, "refused").close())
                .as("the kernel refuses volatile mounts")
                .isInstanceOf(SyscallException.class);
        assertThat(scene.fixture.metric("error_trace")).isZero();
        assertThat(scene.fixture.superblock()).isEqualTo(State.HEALTHY);
        assertThat(scene.fixture.metric("unseen_errors_cleared_total")).isZero();
        assertThat(scene.fixture.poisonings).isEmpty();
    }

    private static void assertClearedOnce(RunningSnapshotterFixture fixture, LoggedLines log) {
        assertThat(fixture.metric("unseen_errors_cleared_total")).isEqualTo(1);
        assertThat(log.beginning(CLEARED)).singleElement().satisfies(line -> {
            assertThat(line.field("device")).isEqualTo(fixture.device());
            assertThat(line.field("errno")).isEqualTo("EIO");
        });
    }

    private static LoggedLines log() {
        return LoggedLines.of("io.github.volatilesnapshotter.superblock");
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_start_clears_one(Disk.FileSystem fileSystem) throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                LoggedLines log = log()) {
            loseForeignWrite(disk);

            try (RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root())) {
                assertClearedOnce(fixture, log);
                assertThat(fixture.superblock()).isEqualTo(State.HEALTHY);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_Prepare_of_a_layer_clears_one_before_it_opens_its_witness(Disk.FileSystem fileSystem) throws Exception {
        try (ReadOnlyTracefs _ = ReadOnlyTracefs.mount();
                FailureScene<FuseDisk> scene = unwatched(fileSystem);
                LoggedLines log = log()) {
            loseForeignWrite(scene.disk);
            assertUnseenAndUnnoticed(scene);

            scene.snapshotter().prepare("default/5/extract-after", "", Map.of());

            assertClearedOnce(scene.fixture, log);
            assertThat(scene.isPoisoned(CONTAINER)).isTrue();
            assertThat(scene.isPoisoned(LAYER)).isTrue();
            scene.commit("after", "default/5/extract-after");
            Observer.on(scene.disk, "after").close();
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_volatile_mount_that_is_refused_clears_one_and_is_tried_again(Disk.FileSystem fileSystem) throws Exception {
        try (ReadOnlyTracefs _ = ReadOnlyTracefs.mount();
                FailureScene<FuseDisk> scene = unwatched(fileSystem);
                LoggedLines log = log()) {
            loseForeignWrite(scene.disk);
            assertUnseenAndUnnoticed(scene);

            Path root = scene.fixture.container("default/5/after", "");

            assertThat(MountInfo.containing(root).isVolatile()).isTrue();
            assertClearedOnce(scene.fixture, log);
            assertThat(scene.isPoisoned(CONTAINER)).isTrue();
            assertThat(scene.isPoisoned(LAYER)).isTrue();
            assertThat(scene.isPoisoned("default/5/after")).isFalse();
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void one_that_somebody_else_has_seen_poisons_and_is_not_counted(Disk.FileSystem fileSystem) throws Exception {
        try (ReadOnlyTracefs _ = ReadOnlyTracefs.mount();
                FailureScene<FuseDisk> scene = unwatched(fileSystem);
                LoggedLines log = log()) {
            loseForeignWrite(scene.disk);
            assertUnseenAndUnnoticed(scene);
            assertThatThrownBy(scene.disk::syncfs).isInstanceOf(IOException.class);

            scene.snapshotter().prepare("default/5/extract-after", "", Map.of());

            assertThat(scene.isPoisoned(CONTAINER)).isTrue();
            assertThat(scene.isPoisoned(LAYER)).isTrue();
            assertThat(scene.isPoisoned("default/5/extract-after")).isFalse();
            assertThat(scene.fixture.metric("unseen_errors_cleared_total")).isZero();
            assertThat(log.beginning(CLEARED)).isEmpty();
        }
    }
}
