package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * What a superblock's {@link State} follows from: its epochs and its write probe. The worst of these that holds is its state:
 *
 * <table>
 * <caption>States, worst first</caption>
 * <tr><td>hung</td><td>the write probe has been running for longer than its timeout</td></tr>
 * <tr><td>failed</td><td>the last write probe failed; or an attempt to clear an epoch did, because the disk does not store data, until one
 *     succeeds</td></tr>
 * <tr><td>failing</td><td>{@value #MANY_EPOCHS} epochs within a minute, until none is open and no error came for
 *     {@value #QUIET_SECONDS} s</td></tr>
 * <tr><td>erroring</td><td>an epoch is open</td></tr>
 * <tr><td>healthy</td><td>else</td></tr>
 * </table>
 *
 * <p>Thread-safe. Each transition is told once, with the machine's lock held, so that nobody hears of two in the wrong order; the
 * listener must not wait.
 */
final class StateMachine {
    static final int MANY_EPOCHS = 3;
    static final int QUIET_SECONDS = 5;
    private static final long WINDOW_NANOS = TimeUnit.SECONDS.toNanos(60);
    private static final long QUIET_NANOS = TimeUnit.SECONDS.toNanos(QUIET_SECONDS);

    private final Device device;
    private final LongSupplier nanoTime;
    private final Consumer<Transition> listener;

    private final Deque<Long> epochBegins = new ArrayDeque<>();
    private State state = State.HEALTHY;
    private boolean isEpochOpen;

    /** Of the last epoch, the last probe that hung, and of whatever last made it healthy. */
    private String errorReason = "";

    private String hangReason = "";
    private String healthyReason = "";

    private @Nullable Failure uncleared;
    private boolean areMany;
    private long lastErrorNanos;
    private @Nullable Failure failure;
    private boolean isHung;

    /** @param nanoTime as {@link System#nanoTime} */
    StateMachine(Device device, LongSupplier nanoTime, Consumer<Transition> listener) {
        this.device = device;
        this.nanoTime = nanoTime;
        this.listener = listener;
    }

    synchronized State state() {
        return state;
    }

    /** Why the state is what it is; empty while it is healthy since the start. */
    synchronized String reason() {
        return switch (state) {
            case HUNG -> hangReason;
            case FAILED -> failure().map(Failure::reason).orElseThrow();
            case FAILING, ERRORING -> errorReason;
            case HEALTHY -> healthyReason;
        };
    }

    /** Tells the state and its reason between two transitions: neither is one missed nor are they told in another order. */
    synchronized void tell(BiConsumer<State, String> told) {
        told.accept(state, reason());
    }

    /** For whoever needs another state than the present one; state, reason and errno are of one moment. */
    synchronized Optional<SuperblockUnavailableException> refusal(Predicate<State> fits) {
        if (fits.test(state)) {
            return Optional.empty();
        }
        Errno errno = failure().map(Failure::errno).orElse(Errno.EIO);
        return Optional.of(new SuperblockUnavailableException(
                "device " + device + " is " + state.word() + ": " + reason(), device, errno, null));
    }

    /** Why nothing can be written, as long as that is so. */
    synchronized Optional<Failure> failure() {
        return Optional.ofNullable(failure != null ? failure : uncleared);
    }

    synchronized void epochBegan(Errno errno) {
        long now = nanoTime.getAsLong();
        isEpochOpen = true;
        lastErrorNanos = now;
        epochBegins.addLast(now);
        while (now - epochBegins.getFirst() > WINDOW_NANOS) {
            epochBegins.removeFirst();
        }
        if (epochBegins.size() >= MANY_EPOCHS) {
            areMany = true;
            errorReason = "writeback error " + errno.name() + ", epoch " + epochBegins.size() + " within a minute";
        } else {
            errorReason = "writeback error " + errno.name();
        }
        settle("");
    }

    /** An attempt to end the epoch failed: the disk still does not store data. */
    synchronized void clearingFailed(Errno errno, String cause) {
        uncleared = new Failure("a writeback error can't be cleared: " + cause, errno, false);
        settle("");
    }

    synchronized void epochEnded() {
        isEpochOpen = false;
        uncleared = null;
        settle("the writeback error is cleared");
    }

    synchronized void probeSucceeded() {
        failure = null;
        isHung = false;
        settle("the write probe succeeds");
    }

    /** It came back, and says nothing of the filesystem: what was known of it before holds. */
    synchronized void probeUnasked() {
        isHung = false;
        settle("the write probe has come back");
    }

    synchronized void probeFailed(Failure found) {
        failure = found;
        isHung = false;
        settle("");
    }

    synchronized void probeHangs(long millis) {
        isHung = true;
        hangReason = "a write probe has not come back for " + millis + " ms";
        settle("");
    }

    /** Lets time pass: quiet ends what errors began. */
    synchronized void tick() {
        settle("no writeback error for " + QUIET_SECONDS + " s");
    }

    /** @param recovery why it is healthy, if it is now */
    private void settle(String recovery) {
        if (areMany && !isEpochOpen && nanoTime.getAsLong() - lastErrorNanos >= QUIET_NANOS) {
            areMany = false;
            // What comes now is judged anew: one error is one error again.
            epochBegins.clear();
        }
        State now = worst();
        if (now != state) {
            State before = state;
            state = now;
            if (now == State.HEALTHY) {
                healthyReason = recovery;
            }
            listener.accept(new Transition(device, before, now, reason(), Instant.now()));
        }
    }

    private State worst() {
        if (isHung) {
            return State.HUNG;
        }
        if (failure != null || uncleared != null) {
            return State.FAILED;
        }
        if (areMany) {
            return State.FAILING;
        }
        return isEpochOpen ? State.ERRORING : State.HEALTHY;
    }
}
