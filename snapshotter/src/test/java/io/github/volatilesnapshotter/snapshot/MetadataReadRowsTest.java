package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.CONTAINER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.LAYER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.refused;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.State;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Blocks of metadata that can't be read: by that alone nothing that was written is lost. See the table of failures in {@code
 * docs/fault-lab.md}.
 */
@Tag("kernel")
class MetadataReadRowsTest {
    /** btrfs keeps the root of a tree in memory, and a small tree has nothing else. */
    private static void growTrees(Disk disk) throws IOException {
        for (int number = 0; number < 2_000; number++) {
            Files.createFile(disk.root().resolve("file-" + number));
        }
    }

    /** With {@code errors=continue}, which ext4 has by default. */
    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "EXT4_WITHOUT_JOURNAL", "BTRFS"})
    void metadata_that_cannot_be_read_makes_the_filesystem_failed_while_it_lasts_and_poisons_nothing(
            Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            growTrees(scene.disk);
            scene.disk.startFailingReadsOfMetadata();

            scene.awaitState(State.FAILED);
            refused(
                    Category.UNAVAILABLE,
                    "device " + scene.fixture.device() + " is failed: the write probe is refused (EIO)",
                    () -> scene.snapshotter().prepare("default/5/new", "", Map.of()));
            assertThat(scene.isPoisoned(CONTAINER)).isFalse();
            assertThat(scene.isPoisoned(LAYER)).isFalse();
            assertThat(scene.observer().error()).isEmpty();
            scene.disk.heal();

            scene.awaitState(State.HEALTHY);
            assertThatCode(() -> Files.writeString(scene.merged.resolve("more"), "taken"))
                    .as("the container goes on")
                    .doesNotThrowAnyException();
            scene.assertNothingPoisoned();
            assertThat(scene.observer().error()).isEmpty();
            scene.assertNewSnapshotsWork();
        }
    }

    /** It can't go back on what it has begun to change. */
    @Test
    void metadata_that_an_xfs_cannot_read_shuts_it_down() throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(Disk.FileSystem.XFS))) {
            scene.disk.startFailingReadsOfMetadata();

            scene.awaitState(State.FAILED);
            scene.awaitPoison();
            scene.assertBothPoisoned(PoisonReason.FILE_SYSTEM_GONE, Errno.EIO);
            assertThat(scene.observer().error())
                    .as("the kernel's sample misses it")
                    .isEmpty();
            scene.disk.heal();
            assertThat(scene.fixture.superblock()).isEqualTo(State.FAILED);
            scene.assertNewSnapshotsWorkAfterRemount();
        }
    }
}
