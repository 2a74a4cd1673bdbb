package io.github.volatilesnapshotter.grpc;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Only root may give a thread more than its share. */
@Tag("kernel")
class LanePriorityTest {
    private static final int BOUND_SECONDS = 20;

    /** In {@code /proc/<pid>/stat}, behind the name in parentheses: proc_pid_stat(5), field 19. */
    private static final int NICENESS_BEHIND_NAME = 19 - 3;

    @Test
    void reads_go_ahead_of_the_other_lanes_whose_threads_the_event_loop_begins() throws Exception {
        Map<Lane, Integer> niceness = new EnumMap<>(Lane.class);
        try (Metrics metrics = new Metrics()) {
            Lanes lanes = new Lanes(1, 1, LanePriorityTest::takePriority, metrics);
            CompletableFuture.runAsync(
                            () -> {
                                assertThat(Niceness.goAhead()).isTrue();
                                for (Lane lane : Lane.values()) {
                                    niceness.put(lane, of(lanes, lane).join());
                                }
                            },
                            work -> Thread.ofPlatform().start(work))
                    .get(BOUND_SECONDS, TimeUnit.SECONDS);
            assertThat(lanes.stop(TimeUnit.SECONDS.toMillis(BOUND_SECONDS))).isTrue();
        }

        assertThat(niceness).isEqualTo(Map.of(Lane.READ, -10, Lane.CHANGE, 0, Lane.COMMIT, 0, Lane.DISK, 0));
    }

    private static void takePriority(boolean isOfReads) {
        assertThat(isOfReads ? Niceness.goAhead() : Niceness.takeShare()).isTrue();
    }

    private static CompletableFuture<Integer> of(Lanes lanes, Lane lane) {
        return CompletableFuture.supplyAsync(LanePriorityTest::ownNiceness, work -> lanes.execute(lane, work));
    }

    private static int ownNiceness() {
        try {
            String stat = Files.readString(Path.of("/proc/thread-self/stat"));
            return Integer.parseInt(stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1)[NICENESS_BEHIND_NAME]);
        } catch (IOException e) {
            throw new CompletionException(e);
        }
    }
}
