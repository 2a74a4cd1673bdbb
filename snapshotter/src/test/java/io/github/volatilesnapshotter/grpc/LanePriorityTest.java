package io.github.volatilesnapshotter.grpc;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.metrics.Metrics;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** What that makes of their niceness SickDiskTest sees in a whole daemon. */
class LanePriorityTest {
    private static final int BOUND_SECONDS = 20;

    @Test
    void the_threads_of_each_lane_run_as_they_are_let_and_only_those_that_read_are_told_apart() throws Exception {
        ThreadLocal<Boolean> areOfReads = new ThreadLocal<>();
        Map<Lane, Boolean> seen = new EnumMap<>(Lane.class);
        try (Metrics metrics = new Metrics()) {
            Lanes lanes = new Lanes(
                    1,
                    1,
                    (isOfReads, work) -> {
                        areOfReads.set(isOfReads);
                        work.run();
                    },
                    metrics);
            for (Lane lane : Lane.values()) {
                seen.put(
                        lane,
                        CompletableFuture.supplyAsync(areOfReads::get, work -> lanes.execute(lane, work))
                                .get(BOUND_SECONDS, TimeUnit.SECONDS));
            }
            assertThat(lanes.stop(TimeUnit.SECONDS.toMillis(BOUND_SECONDS))).isTrue();
        }

        assertThat(seen).isEqualTo(Map.of(Lane.READ, true, Lane.CHANGE, false, Lane.COMMIT, false, Lane.DISK, false));
    }
}
