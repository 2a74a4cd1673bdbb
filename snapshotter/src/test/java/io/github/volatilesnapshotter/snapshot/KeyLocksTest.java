package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class KeyLocksTest {
    private final AtomicInteger timeouts = new AtomicInteger();

    @Test
    void one_key_is_held_by_one_request_at_a_time_and_nothing_is_left_behind() throws Exception {
        KeyLocks locks = new KeyLocks(10_000, timeouts::incrementAndGet);
        int[] count = {0};
        try (ExecutorService threads = Executors.newFixedThreadPool(8)) {
            List<Future<?>> all = new ArrayList<>();
            for (int thread = 0; thread < 8; thread++) {
                all.add(threads.submit(() -> {
                    for (int i = 0; i < 1_000; i++) {
                        try (KeyLocks.Held _ = locks.hold("k")) {
                            count[0]++;
                        }
                    }
                    return null;
                }));
            }
            for (Future<?> each : all) {
                each.get();
            }
        }
        assertThat(count[0]).isEqualTo(8_000);
        assertThat(locks.size()).isZero();
    }

    @Test
    void a_request_that_waits_too_long_is_told_so() throws Exception {
        KeyLocks locks = new KeyLocks(10, timeouts::incrementAndGet);
        try (ExecutorService other = Executors.newSingleThreadExecutor();
                KeyLocks.Held _ = locks.hold("k")) {
            assertThatThrownBy(() -> other.submit(() -> locks.hold("k")).get())
                    .hasCauseInstanceOf(SnapshotException.class)
                    .cause()
                    .satisfies(
                            e -> assertThat(((SnapshotException) e).category()).isEqualTo(Category.UNAVAILABLE))
                    .hasMessageContaining("k is busy");
        }
        assertThat(timeouts).hasValue(1);
        assertThat(locks.size()).isZero();
    }
}
