package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.CONTAINER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.LAYER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.refused;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assertions.assertTimeoutPreemptively;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.State;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A disk that answers nothing any more. See the table of failures in {@code docs/fault-lab.md}. */
@Tag("kernel")
class HungDiskRowsTest {
    /** Of the fixture: a write probe every second, which hangs after two; and two seconds for a machine that is busy. */
    private static final Duration NOTICED = Duration.ofSeconds(1 + 2 + 2);

    /** Answers that wait for no disk: one that does gets none. On a quiet machine they take well under a millisecond. */
    private static final Duration AT_ONCE = Duration.ofMillis(500);

    @TempDir
    Path elsewhere;

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_disk_that_hangs_is_noticed_holds_up_nobody_and_poisons_nothing(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem));
                RunningSnapshotterFixture other = new RunningSnapshotterFixture(elsewhere)) {
            Snapshotter snapshotter = scene.snapshotter();
            scene.disk.hang();
            long hungAtNanos = System.nanoTime();
            await().atMost(NOTICED)
                    .pollInterval(Duration.ofMillis(5))
                    .until(() -> scene.fixture.superblock() == State.HUNG);
            System.out.printf("%s: hung after %d ms%n", fileSystem, (System.nanoTime() - hungAtNanos) / 1_000_000);

            atOnce(() -> assertThat(snapshotter.stat(CONTAINER).kind()).isEqualTo(Kind.ACTIVE));
            atOnce(() -> assertThat(snapshotter.list(List.of())).toIterable().hasSize(2));
            atOnce(() -> assertThat(snapshotter.mounts(CONTAINER)).hasSize(1));
            String hung = "device " + scene.fixture.device() + " is hung";
            atOnce(() -> refused(Category.UNAVAILABLE, hung, () -> snapshotter.prepare("default/5/new", "", Map.of())));
            atOnce(() -> refused(Category.UNAVAILABLE, hung, () -> scene.commit("layer", LAYER)));
            atOnce(() -> refused(Category.UNAVAILABLE, hung, () -> snapshotter.remove(CONTAINER)));
            assertThat(scene.observer().error()).isEmpty();
            other.layer("of the other disk", "", "file", "content");
            Path root = Path.of(other.snapshotter()
                    .prepare("default/1/other", "of the other disk", Map.of())
                    .getFirst()
                    .source());
            assertThat(root.resolve("file")).hasContent("content");
            assertThat(other.superblock()).isEqualTo(State.HEALTHY);
            scene.disk.heal();

            scene.awaitState(State.HEALTHY);
            scene.assertNothingPoisoned();
            scene.assertNewSnapshotsWork();
        }
    }

    private static void atOnce(ThrowingCallable call) {
        assertTimeoutPreemptively(AT_ONCE, call::call);
    }
}
