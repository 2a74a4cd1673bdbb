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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import java.util.function.LongPredicate;
import java.util.function.Supplier;

/**
 * Has the layers that are being unpacked written back while that goes on, so that their Commit finds little left to do: containerd calls
 * it within its one metadata transaction.
 *
 * <p>One thread, of the lowest niceness. At each turn it looks through the uppers of the active snapshots that are being unpacked, and begins the
 * writeback of the files that were changed since its last look; it waits for none, and asks nobody whether it succeeded: an error shows in
 * the superblock's state as any other does, and nothing of it is consumed. What a turn may look at is bounded in entries and time, and
 * divided among the snapshots evenly; an upper that is not finished is gone on with at the next turn. One in which a whole look finds nothing
 * new is looked at ever less often, until one does: an unpack that was interrupted stays for a day. Without a snapshot that is being
 * unpacked the thread waits, without a timeout; on a filesystem that is not healthy it writes nothing.
 */
final class EarlyWriteback implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(EarlyWriteback.class.getName());

    static final long MOST_ENTRIES = 50_000;
    private static final long TURN_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

    /**
     * Of an upper in which nothing changes: containerd prepares a snapshot before it has fetched the layer, and one that begins to be
     * written should not wait for its first look longer than it takes to write.
     */
    private static final long LONGEST_PAUSE_NANOS = TimeUnit.SECONDS.toNanos(1);

    /** Of a large one: looking at it takes a fiftieth of the time. */
    private static final int PAUSE_PER_LOOK = 50;

    /** Of the largest. The kernel itself begins after 30 s. */
    private static final long LONGEST_PAUSE_OF_ALL_NANOS = TimeUnit.SECONDS.toNanos(10);

    /** A ctime is of the last tick of the kernel's clock, at most 10 ms ago. */
    private static final long CLOCK_SLACK_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    /** While files are found changed. Where none is, each look is a full one: they become rare then. */
    static final int QUICK_LOOKS_BETWEEN_FULL_ONES = 9;

    private static final long STOP_WAIT_MILLIS = 1_000;

    private final Layout layout;
    private final Supplier<List<Long>> unpacked;
    private final BegunWriteback begun;
    private final LongPredicate isSynced;
    private final BooleanSupplier isHealthy;
    private final long intervalNanos;
    private final Metrics metrics;
    private final Thread thread;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private boolean isClosed;

    /** Of the thread only, as what follows. */
    private int turns;

    private long nextTurnNanos = System.nanoTime();
    private final Map<Long, Progress> progress = new HashMap<>();

    /**
     * Does not start the thread.
     *
     * @param unpacked ids of the active snapshots that are being unpacked, and sound
     * @param begun told how far it has come
     * @param isSynced whether one of them is just being synced for its Commit: that may fail, and then the unpack goes on
     * @param isHealthy whether their filesystem is
     * @param intervalMillis between two turns; 0: none at all
     */
    EarlyWriteback(
            Layout layout,
            Supplier<List<Long>> unpacked,
            BegunWriteback begun,
            LongPredicate isSynced,
            BooleanSupplier isHealthy,
            long intervalMillis,
            Metrics metrics) {
        this.layout = layout;
        this.unpacked = unpacked;
        this.begun = begun;
        this.isSynced = isSynced;
        this.isHealthy = isHealthy;
        this.intervalNanos = TimeUnit.MILLISECONDS.toNanos(intervalMillis);
        this.metrics = metrics;
        this.thread = Thread.ofPlatform().name("early-writeback").daemon().unstarted(this::run);
    }

    void start() {
        if (intervalNanos > 0) {
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
            while (!isClosed) {
                meet(unpacked.get());
                if (progress.isEmpty()) {
                    changed.await();
                    continue;
                }
                long leftNanos = nanosToNextTurn();
                if (leftNanos <= 0) {
                    return true;
                }
                var _ = changed.awaitNanos(leftNanos);
            }
            return false;
        } finally {
            lock.unlock();
        }
    }

    /** Forgets those that are not unpacked any more. */
    private void meet(List<Long> ids) {
        progress.keySet().retainAll(ids);
        begun.retain(ids);
        ids.forEach(id -> progress.computeIfAbsent(id, _ -> new Progress(id)));
    }

    private long nanosToNextTurn() {
        long nowNanos = System.nanoTime();
        long soonestNanos = progress.values().stream()
                .mapToLong(upper -> upper.dueNanos - nowNanos)
                .min()
                .orElseThrow();
        return Math.max(soonestNanos, nextTurnNanos - nowNanos);
    }

    /** A Commit writes back by itself: whatever goes wrong here costs time only, and is no reason to end. */
    private void tryTurn() {
        try {
            var _ = turn();
        } catch (RuntimeException e) {
            LOG.log(WARNING, "a turn of early writeback failed", e);
        } finally {
            nextTurnNanos = System.nanoTime() + intervalNanos;
        }
    }

    /** Returns what was looked at, in this order. */
    Map<Long, ChangedFiles.Look> turn() {
        Map<Long, ChangedFiles.Look> looks = new LinkedHashMap<>();
        meet(unpacked.get());
        if (!isHealthy.getAsBoolean()) {
            return looks;
        }
        List<Long> ids = dueIds();
        long begunNanos = System.nanoTime();
        for (int i = 0; i < ids.size(); i++) {
            // Each gets its share of what those before it have left, and goes on by one step at least.
            long leftNanos = Math.max(0, TURN_NANOS - (System.nanoTime() - begunNanos));
            long deadlineNanos = System.nanoTime() + leftNanos / (ids.size() - i);
            long id = ids.get(i);
            Progress upper = Objects.requireNonNull(progress.get(id));
            try {
                looks.put(id, upper.look(Math.max(1, MOST_ENTRIES / ids.size()), deadlineNanos));
            } catch (SyscallException e) {
                upper.rest();
                if (!e.errno().is(Errno.ENOENT)) {
                    // Its Commit meets the same, and says so.
                    LOG.log(DEBUG, "early writeback left a snapshot alone", "id", id, "failure", e);
                }
            }
        }
        if (!ids.isEmpty()) {
            metrics.wroteEarly(
                    looks.values().stream().mapToLong(ChangedFiles.Look::files).sum(),
                    looks.values().stream().mapToLong(ChangedFiles.Look::bytes).sum(),
                    looks.size() == ids.size() && looks.values().stream().allMatch(ChangedFiles.Look::isWhole));
        }
        return looks;
    }

    /** Those whose turn it is. Not always the same one first: a device's full queue may take all of a turn. */
    private List<Long> dueIds() {
        long nowNanos = System.nanoTime();
        List<Long> ids = new ArrayList<>();
        progress.forEach((id, upper) -> {
            if (upper.dueNanos - nowNanos <= 0) {
                if (isSynced.test(id)) {
                    upper.rest();
                } else {
                    ids.add(id);
                }
            }
        });
        Collections.rotate(ids, turns++);
        return ids;
    }

    /** How far the look through one upper has come, and when it is gone on with. */
    private final class Progress {
        private final long id;
        private final ChangedFiles files;
        /** As {@link BegunWriteback#through}, but of the last full look. */
        private long fullThroughNanos;

        private int quickLooks;
        private boolean isFull;
        /** When the present look began, by the same clock. */
        private long begunNanos;
        /** What the present look has taken so far. */
        private long tookNanos;

        private boolean hasFound;
        private long pauseNanos = intervalNanos;
        private long dueNanos = System.nanoTime() + intervalNanos;

        Progress(long id) {
            this.id = id;
            files = new ChangedFiles(layout.upper(id));
        }

        ChangedFiles.Look look(long mostEntries, long deadlineNanos) throws SyscallException {
            if (files.isAtBegin()) {
                begunNanos = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis()) - CLOCK_SLACK_NANOS;
                tookNanos = 0;
                isFull = !hasFound || quickLooks == QUICK_LOOKS_BETWEEN_FULL_ONES;
                hasFound = false;
            }
            long fromNanos = System.nanoTime();
            ChangedFiles.Search search = new ChangedFiles.Search(isFull ? fullThroughNanos : begun.through(id), isFull);
            ChangedFiles.Look look = files.startWriteback(search, mostEntries, deadlineNanos);
            tookNanos += System.nanoTime() - fromNanos;
            hasFound |= look.files() > 0;
            if (look.isWhole()) {
                fullThroughNanos = isFull ? begunNanos : fullThroughNanos;
                quickLooks = isFull ? 0 : quickLooks + 1;
                begun.isThrough(id, begunNanos);
                if (!hasFound) {
                    rest();
                }
            }
            if (hasFound) {
                pauseNanos = intervalNanos;
            }
            dueNanos = System.nanoTime() + (look.isWhole() ? pauseNanos : intervalNanos);
            return look;
        }

        /** There was nothing to do. */
        void rest() {
            long longestNanos = Math.clamp(PAUSE_PER_LOOK * tookNanos, LONGEST_PAUSE_NANOS, LONGEST_PAUSE_OF_ALL_NANOS);
            pauseNanos = Math.max(intervalNanos, Math.min(2 * pauseNanos, longestNanos));
            dueNanos = System.nanoTime() + pauseNanos;
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
