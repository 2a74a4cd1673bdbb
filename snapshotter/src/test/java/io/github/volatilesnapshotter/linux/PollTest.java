package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertNoDescriptorLeft;
import static io.github.volatilesnapshotter.linux.KernelAssertions.openDescriptors;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Waiting, and being woken. */
class PollTest {
    private static final int LONG_MILLIS = 60_000;
    private static final int BOUND_SECONDS = 20;

    @AutoClose
    EventFd first;

    @AutoClose
    EventFd second;

    @BeforeEach
    void make_two() throws SyscallException {
        first = EventFd.create();
        second = EventFd.create();
    }

    @Test
    void nothing_is_readable_after_the_timeout() throws SyscallException {
        long before = System.nanoTime();

        assertThat(Poll.awaitReadable(both(), 50)).isEmpty();

        assertThat(System.nanoTime() - before).isGreaterThanOrEqualTo(TimeUnit.MILLISECONDS.toNanos(50));
    }

    @Test
    void the_one_that_was_signalled_is_readable_until_it_is_drained() throws SyscallException {
        second.signal();

        assertThat(Poll.awaitReadable(both(), LONG_MILLIS)).containsExactly(second.fd());
        assertThat(second.drain()).isTrue();
        assertThat(Poll.awaitReadable(both(), 0)).isEmpty();
        assertThat(second.drain()).isFalse();
    }

    @Test
    void signals_before_a_drain_are_one() throws SyscallException {
        for (int times = 0; times < 3; times++) {
            first.signal();
        }
        second.signal();

        assertThat(Poll.awaitReadable(both(), LONG_MILLIS)).containsExactly(first.fd(), second.fd());
        assertThat(first.drain()).isTrue();
        assertThat(Poll.awaitReadable(both(), 0)).containsExactly(second.fd());
    }

    @Test
    void a_signal_wakes_who_waits() throws Exception {
        CompletableFuture<List<Fd>> woken = new CompletableFuture<>();
        Thread waiting = Thread.ofPlatform().daemon().start(() -> {
            try {
                woken.complete(Poll.awaitReadable(both(), LONG_MILLIS));
            } catch (SyscallException failure) {
                woken.completeExceptionally(failure);
            }
        });

        first.signal();

        assertThat(woken.get(BOUND_SECONDS, TimeUnit.SECONDS)).containsExactly(first.fd());
        waiting.join();
    }

    @Test
    void nobody_waits_for_what_is_closed() throws SyscallException {
        int before = openDescriptors();
        EventFd closed = EventFd.create();
        closed.close();

        assertNoDescriptorLeft(before);
        assertThatThrownBy(() -> Poll.awaitReadable(List.of(closed.fd()), 0)).isInstanceOf(IllegalStateException.class);
    }

    private List<Fd> both() {
        return List.of(first.fd(), second.fd());
    }
}
