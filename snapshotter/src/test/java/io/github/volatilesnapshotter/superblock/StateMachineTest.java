package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

class StateMachineTest {
    private static final Failure READ_ONLY = new Failure("the filesystem is read-only", Errno.EROFS, false);

    // Not zero: nanoTime may begin anywhere, also below it.
    private long nowNanos = -TimeUnit.SECONDS.toNanos(10);
    private final List<Transition> transitions = new ArrayList<>();
    private final StateMachine machine = new StateMachine(new Device(7, 0), () -> nowNanos, transitions::add);

    private void pass(long seconds) {
        nowNanos += TimeUnit.SECONDS.toNanos(seconds);
        machine.tick();
    }

    private void oneEpoch() {
        machine.epochBegan(Errno.EIO);
        machine.epochEnded();
    }

    private List<State> states() {
        return transitions.stream().map(Transition::to).toList();
    }

    @Test
    void one_error_is_an_episode_that_ends_when_it_is_cleared() {
        machine.epochBegan(Errno.ENOSPC);
        assertThat(machine.state()).isEqualTo(State.ERRORING);
        assertThat(machine.state().takesVolatile()).isTrue();
        assertThat(machine.reason()).isEqualTo("writeback error ENOSPC");

        machine.epochEnded();

        assertThat(machine.state()).isEqualTo(State.HEALTHY);
        assertThat(states()).containsExactly(State.ERRORING, State.HEALTHY);
    }

    @Test
    void errors_that_keep_coming_are_failing_until_it_is_quiet() {
        oneEpoch();
        pass(1);
        oneEpoch();
        pass(1);
        machine.epochBegan(Errno.EIO);
        assertThat(machine.state()).isEqualTo(State.FAILING);
        assertThat(machine.state().takesVolatile()).isFalse();
        assertThat(machine.state().takesChanges()).isTrue();
        assertThat(machine.reason()).contains("EIO").contains("epoch 3 within a minute");

        machine.epochEnded();
        pass(StateMachine.QUIET_SECONDS - 1);
        assertThat(machine.state()).as("not quiet for long enough").isEqualTo(State.FAILING);
        pass(1);
        assertThat(machine.state()).isEqualTo(State.HEALTHY);

        oneEpoch();
        assertThat(machine.state()).as("after the quiet one error is one error").isEqualTo(State.HEALTHY);
    }

    @Test
    void errors_that_are_far_apart_do_not_add_up() {
        for (int i = 0; i < 10; i++) {
            oneEpoch();
            pass(31);
        }
        assertThat(states()).doesNotContain(State.FAILING);
    }

    @Test
    void a_disk_on_which_an_error_can_not_be_cleared_has_failed_until_it_is() {
        machine.epochBegan(Errno.EIO);
        machine.clearingFailed(Errno.ENOSPC, "fsync: ENOSPC");
        assertThat(machine.state()).isEqualTo(State.FAILED);
        assertThat(machine.failure().orElseThrow().errno()).isEqualTo(Errno.ENOSPC);
        assertThat(machine.failure().orElseThrow().isGone()).isFalse();
        pass(3_600);
        machine.probeSucceeded();
        assertThat(machine.state())
                .as("a filesystem that writes is no disk that stores")
                .isEqualTo(State.FAILED);

        machine.epochEnded();

        assertThat(machine.state()).isEqualTo(State.HEALTHY);
        assertThat(machine.failure()).isEmpty();
    }

    @Test
    void a_failed_write_probe_is_worse_than_errors_and_a_hung_one_is_worst() {
        machine.epochBegan(Errno.EIO);
        machine.probeFailed(READ_ONLY);
        assertThat(machine.state()).isEqualTo(State.FAILED);
        assertThat(machine.state().takesChanges()).isFalse();
        assertThat(machine.failure()).contains(READ_ONLY);
        machine.probeHangs(5_000);
        assertThat(machine.state()).isEqualTo(State.HUNG);
        assertThat(machine.state().takesChanges()).isFalse();
        assertThat(machine.reason()).contains("5000 ms");

        machine.probeSucceeded();
        assertThat(machine.state()).as("the epoch is still open").isEqualTo(State.ERRORING);
        assertThat(machine.failure()).isEmpty();
        machine.epochEnded();
        assertThat(machine.state()).isEqualTo(State.HEALTHY);
    }

    @Test
    void the_reason_is_that_of_the_present_state_and_not_what_ended_a_worse_one() {
        oneEpoch();
        oneEpoch();
        machine.epochBegan(Errno.ENOSPC);
        machine.clearingFailed(Errno.EIO, "fsync: EIO");
        machine.probeHangs(5_000);
        machine.probeSucceeded();
        assertThat(transitions.getLast().to()).isEqualTo(State.FAILED);
        assertThat(transitions.getLast().reason()).contains("can't be cleared: fsync: EIO");

        machine.probeFailed(READ_ONLY);
        assertThat(machine.reason()).as("as its errno").isEqualTo(READ_ONLY.reason());
        machine.probeSucceeded();
        machine.epochEnded();
        assertThat(transitions.getLast().to()).isEqualTo(State.FAILING);
        assertThat(transitions.getLast().reason()).isEqualTo("writeback error ENOSPC, epoch 3 within a minute");
        assertThat(machine.reason()).isEqualTo(transitions.getLast().reason());

        pass(StateMachine.QUIET_SECONDS);
        assertThat(transitions.getLast().to()).isEqualTo(State.HEALTHY);
        assertThat(machine.reason()).contains("no writeback error");
    }

    @Test
    @Timeout(30)
    void nothing_changes_while_somebody_who_begins_to_listen_is_told() throws Exception {
        AtomicReference<Thread> changing = new AtomicReference<>();
        machine.tell((state, reason) -> {
            Thread thread = Thread.ofPlatform().start(() -> machine.epochBegan(Errno.EIO));
            changing.set(thread);
            await().untilAsserted(() -> assertThat(thread.getState()).isEqualTo(Thread.State.BLOCKED));
            assertThat(state).isEqualTo(State.HEALTHY);
            assertThat(transitions).isEmpty();
        });
        changing.get().join();
        assertThat(states()).containsExactly(State.ERRORING);
    }

    @Test
    void what_does_not_change_the_state_is_told_once() {
        machine.probeSucceeded();
        for (int i = 0; i < 5; i++) {
            machine.probeFailed(READ_ONLY);
        }
        assertThat(states()).containsExactly(State.FAILED);
        assertThat(transitions.getFirst().reason()).isEqualTo(READ_ONLY.reason());
        assertThat(transitions.getFirst().from()).isEqualTo(State.HEALTHY);
    }
}
