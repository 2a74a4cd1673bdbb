package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.CONTAINER;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.LoggedLines;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.superblock.State;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.assertj.core.groups.Tuple;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Each change of a superblock's state: one line in the log, counted once, told once. */
@Tag("kernel")
class TransitionsTest {
    /** One request of the disk, so that nothing is lost a second time. */
    private static final int ONE_PAGE = 4096;

    private static LoggedLines log() {
        return LoggedLines.of(WatchedSuperblock.class.getName());
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void one_lost_write_makes_it_erroring_once_and_healthy_once(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem));
                LoggedLines log = log()) {
            scene.disk.fail(Blocks.DATA);
            Disk.writeDirty(scene.merged.resolve("data"), ONE_PAGE);
            assertThatThrownBy(() -> Disk.fsync(scene.upper.resolve("data"))).isInstanceOf(IOException.class);
            scene.awaitPoison();
            scene.awaitState(State.HEALTHY);

            assertThat(log.beginning("superblock is "))
                    .extracting(
                            LoggedLines.Line::message,
                            line -> line.field("device"),
                            line -> line.field("before"),
                            line -> line.field("reason"))
                    .containsExactly(
                            line("superblock is erroring", scene, "healthy", "writeback error EIO"),
                            line("superblock is healthy", scene, "erroring", "the writeback error is cleared"));
            assertCountedAndToldAsLogged(scene, log);
            assertThat(scene.isPoisoned(CONTAINER)).isTrue();
        }
    }

    private static Tuple line(String message, FailureScene<?> scene, String before, String reason) {
        return tuple(message, scene.fixture.device(), before, reason);
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_disk_that_stores_nothing_makes_it_failed_and_says_why(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FaultyDisk> scene = FailureScene.on(FaultyDisk.create(fileSystem));
                LoggedLines log = log()) {
            scene.disk.startFailing();
            scene.loseDataOfContainer();
            scene.awaitState(State.FAILED);
            // Whoever begins to listen while an error is open hears of it.
            List<Boolean> errors = new CopyOnWriteArrayList<>();
            scene.fixture.onError(errors::add);
            assertThat(errors).containsExactly(true);
            scene.disk.heal();
            scene.awaitState(State.HEALTHY);
            await().atMost(FailureScene.BOUND)
                    .untilAsserted(
                            () -> assertThat(errors).startsWith(true, false).endsWith(false));

            List<LoggedLines.Line> lines = log.beginning("superblock is ");
            assertThat(lines.getFirst().message()).isEqualTo("superblock is erroring");
            assertThat(lines.getFirst().field("reason")).startsWith("writeback error E");
            assertThat(lines.get(1).message()).isEqualTo("superblock is failed");
            assertThat(lines.get(1).field("reason"))
                    .startsWith("a writeback error can't be cleared: ")
                    .contains("fsync");
            assertThat(lines.getLast().message()).isEqualTo("superblock is healthy");
            assertCountedAndToldAsLogged(scene, log);
        }
    }

    private static void assertCountedAndToldAsLogged(FailureScene<?> scene, LoggedLines log) {
        await().atMost(FailureScene.BOUND).untilAsserted(() -> {
            List<LoggedLines.Line> lines = log.beginning("superblock is ");
            for (State state : State.values()) {
                double logged = lines.stream()
                        .filter(line -> line.message().equals("superblock is " + state.word()))
                        .count();
                assertThat(scene.fixture.metric("superblock_transitions_total{state=\"" + state.word() + "\"}"))
                        .as(state.word())
                        .isEqualTo(logged);
            }
            // The first is what it was at the start.
            assertThat(scene.fixture.conditions)
                    .hasSize(1 + lines.size())
                    .endsWith(lines.stream()
                            .map(line -> "device " + line.field("device")
                                    + line.message().substring("superblock".length()) + ": " + line.field("reason"))
                            .toArray(String[]::new));
        });
    }
}
