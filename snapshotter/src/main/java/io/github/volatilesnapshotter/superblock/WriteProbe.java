package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.WARNING;

import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Tries to change something on a superblock, on a thread of its own, because on a hung disk that never returns and can't be
 * interrupted. It finds what no writeback error shows: an aborted journal, a filesystem that was shut down or remounted read-only,
 * a disk that does not answer.
 *
 * <p>At most one attempt is under way and one more is wanted, however often it is requested. Thread-safe.
 */
final class WriteProbe implements AutoCloseable {
    /** What is tried; called on the probe's thread. */
    @FunctionalInterface
    interface Attempt {
        /** Takes as long as the disk does. */
        ProbeAnswer run();

        /** There will be no more attempts. */
        default void end() {}
    }

    /**
     * What the last attempt found.
     *
     * @param number counts the attempts, from 1
     */
    record Outcome(long number, ProbeAnswer answer, long tookNanos) {}

    private static final System.Logger LOG = System.getLogger(WriteProbe.class.getName());

    private static final Duration STOP_WAIT = Duration.ofSeconds(1);

    private final Attempt attempt;
    private final Runnable ended;
    private final Thread thread;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();

    private boolean isWanted;
    private boolean isRunning;
    private boolean isClosed;
    private long begunNanos;
    private Optional<Outcome> latest = Optional.empty();

    /** @param ended called after each attempt on the probe's thread; must not wait */
    WriteProbe(String name, Attempt attempt, Runnable ended) {
        this.attempt = attempt;
        this.ended = ended;
        this.thread = Thread.ofPlatform().name(name).daemon().unstarted(this::loop);
    }

    void start() {
        thread.start();
    }

    /** Wants an attempt that begins after this call. Returns at once. */
    void request() {
        lock.lock();
        try {
            isWanted = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    Optional<Outcome> latest() {
        lock.lock();
        try {
            return latest;
        } finally {
            lock.unlock();
        }
    }

    /** For how long the attempt under way has been; 0 if there is none. */
    long runningNanos() {
        lock.lock();
        try {
            return isRunning ? Math.max(1, System.nanoTime() - begunNanos) : 0;
        } finally {
            lock.unlock();
        }
    }

    private void loop() {
        while (awaitWish()) {
            ProbeAnswer answer = tried();
            lock.lock();
            try {
                isRunning = false;
                long number = latest.map(Outcome::number).orElse(0L) + 1;
                latest = Optional.of(new Outcome(number, answer, System.nanoTime() - begunNanos));
            } finally {
                lock.unlock();
            }
            ended.run();
        }
        attempt.end();
    }

    /** A fault of ours is no failure of the disk, and must not end the probe, which would look like a disk that hangs. */
    @SuppressWarnings("CatchingUnchecked") // whatever it is
    private ProbeAnswer tried() {
        try {
            return attempt.run();
        } catch (RuntimeException | Error e) {
            LOG.log(WARNING, "a write probe could not be made", "failure", e);
            return new ProbeAnswer.Unasked(e.toString());
        }
    }

    /** False once closed. */
    private boolean awaitWish() {
        lock.lock();
        try {
            while (!isWanted && !isClosed) {
                // Bounded only so that no signal that was missed stops the probe for ever.
                var _ = changed.await(1, TimeUnit.MINUTES);
            }
            isWanted = false;
            isRunning = !isClosed;
            begunNanos = System.nanoTime();
            return !isClosed;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        } finally {
            lock.unlock();
        }
    }

    /** Begins no more attempts; waits for one that is under way, but not for one that hangs. */
    @Override
    public void close() {
        lock.lock();
        try {
            isClosed = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        try {
            if (thread.isAlive() && !thread.join(STOP_WAIT)) {
                LOG.log(WARNING, "a write probe is left behind", "thread", thread.getName());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
