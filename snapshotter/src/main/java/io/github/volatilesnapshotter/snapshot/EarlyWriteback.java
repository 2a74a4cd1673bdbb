package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.ChangedFiles;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * Has the layers that are being unpacked written back while that goes on, so that their Commit finds little left to do: containerd calls
 * it within its one metadata transaction.
 *
 * <p>One thread, at idle priority. At each turn it looks through the uppers of the active durable snapshots and begins the writeback of
 * the files that were changed since its last look; it waits for none, and asks nobody whether it succeeded: an error shows in the
 * superblock's state as any other does, and nothing of it is consumed. What a turn may look at is bounded in entries and time, and
 * divided among the snapshots evenly; an upper that is not finished is gone on with at the next turn. Without an active durable snapshot the
 * thread waits, without a timeout; on a filesystem that is not healthy it writes nothing.
 */
final class EarlyWriteback implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(EarlyWriteback.class.getName());

    static final long MOST_ENTRIES = 50_000;
    private static final long TURN_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    /** Where passing over what was seen before takes longer than a turn, the look begins anew. */
    private static final long MOST_SKIPPED = 500_000;

    /** A ctime is of the last tick of the kernel's clock, at most 10 ms ago. */
    private static final long CLOCK_SLACK_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    private static final long STOP_WAIT_MILLIS = 1_000;

    private final Layout layout;
    private final Supplier<List<Long>> unpacked;
    private final BooleanSupplier isHealthy;
    private final long intervalMillis;
    private final Metrics metrics;
    private final Thread thread;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private boolean isClosed;

    /** Of the thread only, as what follows. */
    private int turns;

    private final Map<Long, Progress> progress = new HashMap<>();

    /**
     * Does not start the thread.
     *
     * @param unpacked ids of the durable snapshots that are active and sound
     * @param isHealthy whether their filesystem is
     * @param intervalMillis between two turns; 0: none at all
     */
    EarlyWriteback(
            Layout layout,
            Supplier<List<Long>> unpacked,
            BooleanSupplier isHealthy,
            long intervalMillis,
            Metrics metrics) {
        this.layout = layout;
        this.unpacked = unpacked;
        this.isHealthy = isHealthy;
        this.intervalMillis = intervalMillis;
        this.metrics = metrics;
        this.thread = Thread.ofPlatform().name("early-writeback").daemon().unstarted(this::run);
    }

    void start() {
        if (intervalMillis > 0) {
            thread.start();
        }
    }

    /** There is one more that is being unpacked. Returns at once. */
    void begin() {
        lock.lock();
        try {
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void run() {
        try {
            Niceness.yieldToOthers();
        } catch (SyscallException e) {
            LOG.log(DEBUG, "the priority can't be set", "failure", e);
        }
        try {
            while (awaitTurn()) {
                tryTurn();
            }
        } catch (InterruptedException _) {
            LOG.log(DEBUG, "early writeback was interrupted");
        }
    }

    /** False at the end. */
    private boolean awaitTurn() throws InterruptedException {
        lock.lock();
        try {
            while (!isClosed && unpacked.get().isEmpty()) {
                progress.clear();
                changed.await();
            }
            long leftNanos = TimeUnit.MILLISECONDS.toNanos(intervalMillis);
            while (!isClosed && leftNanos > 0) {
                leftNanos = changed.awaitNanos(leftNanos);
            }
            return !isClosed;
        } finally {
            lock.unlock();
        }
    }

    /** A Commit writes back by itself: whatever goes wrong here costs time only, and is no reason to end. */
    private void tryTurn() {
        try {
            turn();
        } catch (RuntimeException e) {
            LOG.log(WARNING, "a turn of early writeback failed", e);
        }
    }

    private void turn() {
        List<Long> ids = new ArrayList<>(unpacked.get());
        // Not always the same one first: a device's full queue may take all of a turn.
        Collections.rotate(ids, turns++);
        progress.keySet().retainAll(ids);
        if (!isHealthy.getAsBoolean()) {
            return;
        }
        long begunNanos = System.nanoTime();
        long files = 0;
        long bytes = 0;
        boolean isWhole = true;
        for (int i = 0; i < ids.size(); i++) {
            // Each gets its share of what those before it have left.
            long leftNanos = TURN_NANOS - (System.nanoTime() - begunNanos);
            long deadlineNanos = System.nanoTime() + leftNanos / (ids.size() - i);
            Progress before = progress.getOrDefault(ids.get(i), Progress.NONE);
            try {
                long nowNanos = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis()) - CLOCK_SLACK_NANOS;
                Progress current = before.skip() == 0 ? before.begin(nowNanos) : before;
                ChangedFiles.Look look = ChangedFiles.startWriteback(
                        layout.upper(ids.get(i)),
                        current.sinceNanos(),
                        current.skip(),
                        Math.max(1, MOST_ENTRIES / ids.size()),
                        deadlineNanos);
                files += look.files();
                bytes += look.bytes();
                isWhole &= look.isWhole();
                progress.put(ids.get(i), look.isWhole() ? current.end() : current.upTo(look.entries()));
            } catch (SyscallException e) {
                isWhole = false;
                if (!e.errno().is(Errno.ENOENT)) {
                    // Its Commit meets the same, and says so.
                    LOG.log(DEBUG, "early writeback left a snapshot alone", "id", ids.get(i), "failure", e);
                }
            }
        }
        metrics.wroteEarly(files, bytes, isWhole);
    }

    /**
     * How far the look through one upper has come.
     *
     * @param sinceNanos what was changed before is written back already; since 1970
     * @param begunNanos when the present look began
     * @param skip entries that it has seen
     */
    private record Progress(long sinceNanos, long begunNanos, long skip) {
        static final Progress NONE = new Progress(0, 0, 0);

        Progress begin(long nowNanos) {
            return new Progress(sinceNanos, nowNanos, 0);
        }

        Progress upTo(long entries) {
            return entries > MOST_SKIPPED
                    ? new Progress(sinceNanos, begunNanos, 0)
                    : new Progress(sinceNanos, begunNanos, entries);
        }

        Progress end() {
            return new Progress(begunNanos, begunNanos, 0);
        }
    }

    /** Waits a bounded time for a turn that is under way. */
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
            if (thread.isAlive() && !thread.join(Duration.ofMillis(STOP_WAIT_MILLIS))) {
                LOG.log(WARNING, "early writeback is left behind: it waits for the disk");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
