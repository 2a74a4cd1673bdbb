package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.linux.Errno;
import java.util.concurrent.Semaphore;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class WriteProbeTest {
    private final Semaphore disk = new Semaphore(0);
    private final AtomicInteger ended = new AtomicInteger();
    private final AtomicInteger attempts = new AtomicInteger();
    private ProbeAnswer answer = new ProbeAnswer.Takes();
    private final WriteProbe probe = new WriteProbe("probe-test", this::attempt, ended::incrementAndGet);

    private ProbeAnswer attempt() {
        attempts.incrementAndGet();
        disk.acquireUninterruptibly();
        return answer;
    }

    @AfterEach
    void let_it_end() {
        disk.release(100);
        probe.close();
    }

    @Test
    void nothing_is_tried_before_it_is_wanted() {
        probe.start();
        assertThat(probe.latest()).isEmpty();
        assertThat(probe.runningNanos()).isZero();
    }

    @Test
    void an_attempt_that_hangs_is_seen_and_holds_nobody_up() {
        probe.start();
        probe.request();
        await().until(() -> probe.runningNanos() > 1_000_000);
        probe.request();
        probe.request();
        assertThat(attempts).as("one at a time").hasValue(1);

        disk.release();

        await().until(() -> ended.get() == 1);
        await().until(() -> attempts.get() == 2);
        disk.release();
        await().until(() -> ended.get() == 2 && probe.runningNanos() == 0);
        assertThat(attempts).as("however often it was wanted meanwhile").hasValue(2);
        assertThat(probe.latest().orElseThrow().number()).isEqualTo(2);
    }

    @Test
    void what_was_found_is_kept_until_the_next_attempt() {
        Failure failure = new Failure("read-only", Errno.EROFS, false);
        answer = new ProbeAnswer.Refused(failure);
        disk.release(2);
        probe.start();
        probe.request();
        await().until(() -> ended.get() == 1);
        assertThat(probe.latest().orElseThrow().answer()).isEqualTo(new ProbeAnswer.Refused(failure));

        answer = new ProbeAnswer.Takes();
        probe.request();
        await().until(() -> ended.get() == 2);
        assertThat(probe.latest().orElseThrow().answer()).isEqualTo(new ProbeAnswer.Takes());
    }
}
