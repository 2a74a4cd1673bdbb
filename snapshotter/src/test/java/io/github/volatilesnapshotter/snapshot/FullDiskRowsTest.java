package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.BOUND;
import static io.github.volatilesnapshotter.snapshot.FailureScene.CONTAINER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.LAYER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.MEBIBYTE;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.State;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A filesystem that has no block left, which is no failure. See the table of failures in {@code docs/fault-lab.md}. */
@Tag("kernel")
class FullDiskRowsTest {
    /** xfs has room in the blocks of its inodes for some snapshots. */
    private static final int MOST_SNAPSHOTS = 40;

    private static final int MOST_CHANGES = 5_000;
    private static final String VIEW = "default/3/view";

    private static void makeRoom(List<Path> fillers) throws IOException {
        for (Path filler : fillers) {
            Files.delete(filler);
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_full_filesystem_is_told_of_and_poisons_nothing(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            List<Path> fillers = scene.disk.fill();
            assertThatThrownBy(() -> Disk.writeDirty(scene.merged.resolve("data"), MEBIBYTE))
                    .as("whoever writes is told")
                    .hasMessageContaining("No space left on device");
            int refusals = 0;
            for (int number = 0; number < MOST_SNAPSHOTS; number++) {
                String key = "default/" + (10 + number) + (number % 2 == 0 ? "/c" : "/extract-c");
                refusals += doneOrNoSpace(() -> scene.snapshotter().prepare(key, "", Map.of()));
            }
            assertThat(refusals).isPositive();
            refusals += doneOrNoSpace(() -> scene.commit("layer", LAYER));

            assertThat(scene.isPoisoned(CONTAINER)).isFalse();
            assertThat(scene.fixture.poisonings).isEmpty();
            assertThat(scene.observer().error()).isEmpty();
            assertThat(scene.fixture.superblock()).isEqualTo(State.HEALTHY);
            makeRoom(fillers);

            assertThat(scene.snapshotter().mounts(CONTAINER)).hasSize(1);
            Files.writeString(scene.merged.resolve("more"), "taken");
            scene.assertNewSnapshotsWork();
            assertThat(scene.fixture.poisonings).isEmpty();
        }
    }

    private interface Request {
        void run() throws SnapshotException;
    }

    /** 1 if it was refused. */
    private static int doneOrNoSpace(Request request) {
        try {
            request.run();
            return 0;
        } catch (SnapshotException e) {
            assertThat(e.category()).isEqualTo(Category.UNAVAILABLE);
            assertThat(e.getMessage()).contains("ENOSPC");
            return 1;
        }
    }

    /** As on the stock snapshotter: what a user does about a full disk is to remove something. */
    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void removals_make_room(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);
            scene.commit("layer", LAYER);
            scene.snapshotter().view(VIEW, "layer", Map.of());
            Disk.writeDirty(scene.merged.resolve("data"), MEBIBYTE);
            scene.disk.syncfs();
            List<Path> fillers = scene.disk.fill();
            fillRecords(scene);

            // It makes no room; containerd's garbage collection goes on to what does.
            FailureScene.refused(
                    Category.FAILED_PRECONDITION,
                    "ENOSPC",
                    () -> scene.snapshotter().remove(VIEW));
            scene.snapshotter().remove(CONTAINER);
            // What was removed may come back some moments later (xfs frees inodes in the background).
            await().atMost(FailureScene.BOUND)
                    .ignoreExceptionsMatching(e -> e instanceof SnapshotException refused
                            && refused.category() == Category.FAILED_PRECONDITION)
                    .until(() -> {
                        scene.snapshotter().remove(VIEW);
                        return true;
                    });
            scene.snapshotter().remove("layer");

            assertThat(scene.snapshotter().list(List.of()).hasNext()).isFalse();
            makeRoom(fillers);
            scene.assertNewSnapshotsWork();
            assertThat(scene.fixture.poisonings).isEmpty();
        }
    }

    /** Until they have no room for one more change. */
    private static void fillRecords(FailureScene<?> scene) {
        assertThatThrownBy(() -> {
                    for (int change = 0; change < MOST_CHANGES; change++) {
                        scene.snapshotter().update("layer", Map.of("label", "x".repeat(1_000) + change), List.of());
                    }
                })
                .hasMessageContaining("ENOSPC");
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_write_that_is_lost_on_a_full_filesystem_poisons(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            Disk.writeDirty(scene.merged.resolve("data"), MEBIBYTE);
            List<Path> fillers;
            // Opened before: xfs and btrfs write back what is dirty before they say that there is no room.
            try (FileChannel dirty = FileChannel.open(scene.upper.resolve("data"), StandardOpenOption.READ)) {
                scene.disk.fail(Blocks.DATA);
                fillers = scene.disk.fill();
                assertThatThrownBy(() -> dirty.force(true)).isInstanceOf(IOException.class);
            }

            scene.awaitPoison();
            scene.assertBothPoisoned(PoisonReason.WRITEBACK_ERROR, Errno.EIO);
            assertThat(scene.observer().error()).contains(Errno.EIO);
            scene.disk.heal();
            makeRoom(fillers);

            await().atMost(BOUND).until(() -> scene.fixture.superblock() == State.HEALTHY);
            scene.assertNewSnapshotsWork();
        }
    }
}
