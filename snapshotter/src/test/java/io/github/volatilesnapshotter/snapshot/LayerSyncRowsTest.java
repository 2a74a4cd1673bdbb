package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.BOUND;
import static io.github.volatilesnapshotter.snapshot.FailureScene.LAYER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.MEBIBYTE;
import static io.github.volatilesnapshotter.snapshot.FailureScene.refused;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.OnSickFileSystem;
import java.io.IOException;
import java.lang.annotation.ElementType;
import java.lang.annotation.Retention;
import java.lang.annotation.RetentionPolicy;
import java.lang.annotation.Target;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Errors that a Commit meets, in both ways of bringing a layer to disk. */
@Tag("kernel")
@ParameterizedClass
@EnumSource(
        value = LayerSyncMode.class,
        names = {"SYNCFS", "TARGETED"})
class LayerSyncRowsTest {
    /** Less than a probe takes to find that a disk hangs. */
    private static final long SHORT_TIMEOUT_MILLIS = 1_000;

    @Parameter
    LayerSyncMode mode;

    /** The filesystems on which a layer can be synced alone. */
    @Retention(RetentionPolicy.RUNTIME)
    @Target(ElementType.METHOD)
    @ParameterizedTest
    @EnumSource(
            value = FileSystem.class,
            names = {"EXT4", "XFS", "BTRFS"})
    private @interface OnEachWithALog {}

    @OnEachWithALog
    void an_error_of_the_sync_itself_poisons_and_the_layer_is_unpacked_again(FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = scene(fileSystem)) {
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);
            scene.disk.fail(Blocks.DATA);

            refused(
                    Category.FAILED_PRECONDITION,
                    "snapshot " + LAYER + " could not be brought to disk on " + scene.fixture.device()
                            + " and is poisoned: ",
                    () -> scene.commit("layer", LAYER));
            assertRefusedUntilUnpackedAgain(scene);
        }
    }

    @OnEachWithALog
    void an_error_while_it_was_unpacked_that_somebody_else_has_consumed_poisons(FileSystem fileSystem)
            throws Exception {
        try (FailureScene<FuseDisk> scene = scene(fileSystem)) {
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);
            scene.disk.fail(Blocks.DATA);
            assertThatThrownBy(() -> Disk.fsync(scene.unpacked.resolve("data"))).isInstanceOf(IOException.class);
            consumeError(scene.disk);
            scene.disk.heal();

            refused(Category.FAILED_PRECONDITION, scene.fixture.device(), () -> scene.commit("layer", LAYER));
            assertRefusedUntilUnpackedAgain(scene);
        }
    }

    @OnEachWithALog
    void an_error_of_another_file_on_the_superblock_poisons_too(FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = scene(fileSystem)) {
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);
            Disk.fsync(scene.unpacked.resolve("data"));
            Path foreign = scene.disk.root().resolve("foreign");
            Disk.writeDirty(foreign, MEBIBYTE);
            scene.disk.fail(Blocks.DATA);
            assertThatThrownBy(() -> Disk.fsync(foreign)).isInstanceOf(IOException.class);
            scene.disk.heal();

            refused(Category.FAILED_PRECONDITION, scene.fixture.device(), () -> scene.commit("layer", LAYER));
            assertRefusedUntilUnpackedAgain(scene);
        }
    }

    @OnEachWithALog
    void a_sync_that_does_not_end_is_unavailable_and_poisons_nothing(FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(
                FuseDisk.create(fileSystem),
                directory -> new RunningSnapshotterFixture(
                        directory, SHORT_TIMEOUT_MILLIS, OnSickFileSystem.DURABLE, mode))) {
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);
            scene.disk.hangWrites();

            refused(
                    Category.UNAVAILABLE,
                    "snapshot " + LAYER + " is not committed: writing it back takes more than " + SHORT_TIMEOUT_MILLIS
                            + " ms",
                    () -> scene.commit("layer", LAYER));
            scene.disk.heal();

            assertThat(scene.isPoisoned(LAYER)).isFalse();
            await().atMost(BOUND)
                    .ignoreExceptionsMatching(RunningSnapshotterFixture::isUnavailable)
                    .until(() -> {
                        scene.commit("layer", LAYER);
                        return true;
                    });
            assertThat(scene.snapshotter().stat("layer").kind()).isEqualTo(Kind.COMMITTED);
        }
    }

    /** Whether this sync or one of the daemon's came first: the error is seen now, and told to nobody who comes later. */
    private static void consumeError(Disk disk) {
        try {
            disk.syncfs();
        } catch (IOException _) {
            // That is the error.
        }
    }

    private FailureScene<FuseDisk> scene(FileSystem fileSystem) throws Exception {
        return FailureScene.on(
                FuseDisk.create(fileSystem), directory -> new RunningSnapshotterFixture(directory, mode));
    }

    private static void assertRefusedUntilUnpackedAgain(FailureScene<FuseDisk> scene) throws Exception {
        scene.assertPoisoned(LAYER, PoisonReason.WRITEBACK_ERROR, Errno.EIO);
        assertThat(scene.observer().error()).contains(Errno.EIO);
        scene.disk.heal();
        scene.snapshotter().remove(LAYER);
        scene.assertNewSnapshotsWork();
        assertThat(scene.snapshotter().list(List.of("kind==committed")))
                .toIterable()
                .hasSize(1);
    }
}
