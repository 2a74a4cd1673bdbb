package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.ChangedFiles;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.RegularFiles;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.linux.Whiteouts;
import io.github.volatilesnapshotter.metadata.RecordedUsage;
import io.github.volatilesnapshotter.superblock.FileSystemLog;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import io.github.volatilesnapshotter.superblock.Witness;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Brings an upper to disk, so that it can become a layer, within a bounded time.
 *
 * <p>A sync can't be interrupted, and on a hung device it never returns: it runs on a thread of its own, and whoever waits for it
 * gives up after the deadline. The next try for the same snapshot waits for the one that still runs.
 */
final class LayerSync implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(LayerSync.class.getName());

    /** Syncs that run or hang at once; a further one is refused. */
    private static final int MAX_THREADS = 64;

    private final Layout layout;
    private final WatchedSuperblock superblock;
    private final SyncChoice choice;
    private final long timeoutMillis;
    private final Usages usages;
    private final BegunWriteback begun;
    private final Map<Long, Future<RecordedUsage>> running = new ConcurrentHashMap<>();
    private final ThreadPoolExecutor threads = threads("layer-sync-");
    /** One for each sync at most. */
    private final ThreadPoolExecutor counts = threads("layer-usage-");

    LayerSync(
            Layout layout,
            WatchedSuperblock superblock,
            SyncChoice choice,
            Usages usages,
            BegunWriteback begun,
            long timeoutMillis) {
        this.layout = layout;
        this.superblock = superblock;
        this.choice = choice;
        this.usages = usages;
        this.begun = begun;
        this.timeoutMillis = timeoutMillis;
    }

    private static ThreadPoolExecutor threads(String name) {
        return new ThreadPoolExecutor(
                0,
                MAX_THREADS,
                10,
                TimeUnit.SECONDS,
                new SynchronousQueue<>(),
                Thread.ofPlatform().name(name, 0).daemon().factory());
    }

    /** Syncs that run now. */
    int running() {
        return threads.getActiveCount();
    }

    /**
     * What becomes a layer.
     *
     * @param key of the active
     * @param name of the layer
     * @param lower the uppers of the layers below, uppermost first
     * @param cancellation ends the count of its usage
     */
    record Layer(long id, String key, String name, List<Path> lower, Cancellation cancellation) {}

    /**
     * Returns when the upper of a durable snapshot, its directory entries and the name of the layer are on disk.
     *
     * @return what it holds, counted meanwhile
     * @throws SyscallException if writing back failed, now or at any time since the witness was opened
     * @throws SuperblockUnavailableException if nobody knows whether it failed, because the daemon stops
     * @throws TimeoutException if it takes longer than the deadline
     * @throws SnapshotException if its usage could not be counted
     */
    RecordedUsage syncDurable(Layer layer, Witness witness)
            throws SyscallException, SuperblockUnavailableException, TimeoutException, SnapshotException {
        return within(layer, mark -> {
            removeIdleWhiteouts(layer);
            return counting(layer, () -> bringToDisk(layer, mark, witness));
        });
    }

    private void bringToDisk(Layer layer, CommittedMark mark, Witness witness)
            throws SyscallException, SuperblockUnavailableException {
        Optional<FileSystemLog> log = choice.targetedLog(layer.id());
        if (log.isPresent()) {
            writeBack(layer.id(), log.get());
            mark.draftOnDisk();
            CrashPoint.LAYER_SYNCED.reached();
            // A layer of which something is lost gets no mark.
            requireNoError(witness);
            mark.give();
            requireNoError(witness);
        } else {
            mark.draft();
            witness.sync();
            CrashPoint.LAYER_SYNCED.reached();
            mark.give();
        }
    }

    /** The same for a volatile snapshot, whose own overlay is its witness. */
    RecordedUsage syncVolatile(Layer layer, VolatileOverlay overlay)
            throws SyscallException, SuperblockUnavailableException, TimeoutException, SnapshotException {
        return within(layer, mark -> counting(layer, () -> bringToDisk(layer, mark, overlay)));
    }

    private void bringToDisk(Layer layer, CommittedMark mark, VolatileOverlay overlay)
            throws SyscallException, SuperblockUnavailableException {
        Optional<FileSystemLog> log = choice.targetedLog(layer.id());
        if (log.isPresent()) {
            writeBack(layer.id(), log.get());
            mark.draftOnDisk();
        } else {
            mark.draft();
            try (Fd upper = Fd.openDirectory(layout.upper(layer.id()))) {
                Sync.syncfs(upper);
            }
        }
        CrashPoint.LAYER_SYNCED.reached();
        // A layer of which something is lost gets no mark.
        requireNoError(overlay);
        mark.give();
        requireNoError(overlay);
    }

    /** Its sample is as old as the mount, so it covers the sync itself, whoever consumed the error. */
    private void requireNoError(VolatileOverlay overlay) throws SyscallException, SuperblockUnavailableException {
        Optional<Errno> error = overlay.writebackError();
        if (error.isPresent()) {
            throw new SyscallException("fsync", overlay.mountPoint().toString(), error.get(), null);
        }
        if (!overlay.isOpen()) {
            throw new SuperblockUnavailableException(
                    overlay.mountPoint() + " was closed before it was asked",
                    superblock.device(),
                    Errno.ESHUTDOWN,
                    null);
        }
    }

    /**
     * The applier of a layer without parent does not know what the layer will stand on, and the kernel shows a whiteout that
     * hides nothing. Once the layer's place is known they go; a later try gives it no other place, because containerd names the
     * same parent.
     */
    private void removeIdleWhiteouts(Layer layer) throws SyscallException {
        int removed = Whiteouts.removeIdle(
                layout.upper(layer.id()),
                layer.lower(),
                layout.notedTimes(layer.id()),
                CrashPoint.WHITEOUT_REMOVED::reached);
        if (removed > 0) {
            LOG.log(INFO, "removed whiteouts that hide nothing", "key", layer.key(), "count", removed);
        }
    }

    /** Counts on another thread while the sync waits for the disk: for 3,000 files it takes half as long as their sync. */
    private RecordedUsage counting(Layer layer, SyncStep sync)
            throws SyscallException, SuperblockUnavailableException, SnapshotException {
        AtomicBoolean isOver = new AtomicBoolean();
        Cancellation cancellation = () -> isOver.get() || layer.cancellation().isCancelled();
        FutureTask<RecordedUsage> usage = new FutureTask<>(() -> usages.count(layer.id(), layer.key(), cancellation));
        try {
            counts.execute(usage);
        } catch (RejectedExecutionException _) {
            LOG.log(DEBUG, "usage is counted after the sync", "key", layer.key());
        }
        try {
            sync.run();
        } catch (SyscallException | SuperblockUnavailableException | RuntimeException e) {
            isOver.set(true);
            throw e;
        }
        usage.run(); // does nothing if it was begun
        return resultOf(usage);
    }

    /**
     * Brings the layer's own content to the device, and to the log what is to be known of it. What early writeback has not seen to is begun
     * first, so that little is written while it is waited for; then each file is waited for, and written as far as it was not. On disk it
     * is when the log is committed: here, or with the mark.
     */
    private void writeBack(long id, FileSystemLog log) throws SyscallException {
        Path upper = layout.upper(id);
        ChangedFiles.startWriteback(upper, begun.through(id));
        RegularFiles.each(upper, log::awaitContent);
        log.commit(upper);
    }

    /** The error may be of another file, as with the witness's syncfs: which files it has hit is not known for certain. */
    private void requireNoError(Witness witness) throws SyscallException, SuperblockUnavailableException {
        Optional<Errno> error = superblock.errorSince(witness);
        if (error.isPresent()) {
            throw new SyscallException(
                    Failures.WRITEBACK,
                    "device " + superblock.device(),
                    error.get(),
                    "the filesystem has lost a write since the snapshot was prepared");
        }
    }

    private RecordedUsage within(Layer layer, Step step)
            throws SyscallException, SuperblockUnavailableException, TimeoutException, SnapshotException {
        long id = layer.id();
        long deadlineNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(timeoutMillis);
        Future<RecordedUsage> before = running.get(id);
        if (before != null) {
            awaitEarlier(id, before, deadlineNanos);
        }
        Attempt attempt = new Attempt(new CommittedMark(layout, id, layer.name()), step);
        Future<RecordedUsage> sync;
        try {
            sync = threads.submit(attempt);
        } catch (RejectedExecutionException e) {
            TimeoutException timeout = new TimeoutException(MAX_THREADS + " layer syncs are running already");
            timeout.initCause(e);
            throw timeout;
        }
        running.put(id, sync);
        try {
            return await(id, sync, deadlineNanos, "a sync for a commit takes longer than its deadline");
        } catch (TimeoutException e) {
            attempt.abandon();
            throw e;
        }
    }

    /** One sync. The mark that it gives stays only if it succeeds while somebody waits for it. */
    private static final class Attempt implements Callable<RecordedUsage> {
        private final CommittedMark mark;
        private final Step step;

        private boolean isAbandoned;
        private boolean hasSucceeded;

        Attempt(CommittedMark mark, Step step) {
            this.mark = mark;
            this.step = step;
        }

        @Override
        public RecordedUsage call() throws Exception {
            boolean isWanted = false;
            try {
                RecordedUsage usage = step.run(mark);
                isWanted = succeed();
                return usage;
            } finally {
                if (!isWanted) {
                    mark.takeBack();
                }
            }
        }

        private synchronized boolean succeed() {
            hasSucceeded = true;
            return !isAbandoned;
        }

        /** Nobody waits for it any more. */
        void abandon() {
            boolean isGiven;
            synchronized (this) {
                isAbandoned = true;
                isGiven = hasSucceeded;
            }
            if (isGiven) {
                mark.takeBack();
            }
        }
    }

    /** What it has counted is of no use any more: the client that asked for it may have ended that. */
    private void awaitEarlier(long id, Future<RecordedUsage> sync, long deadlineNanos)
            throws SyscallException, SuperblockUnavailableException, TimeoutException {
        try {
            var _ = await(
                    id, sync, deadlineNanos, "an earlier commit's sync still runs at the deadline of the next one");
        } catch (SnapshotException e) {
            LOG.log(DEBUG, "an earlier sync of the snapshot has ended", "id", id, "failure", e);
        }
    }

    /** @param late what the log says where the time is over */
    private RecordedUsage await(long id, Future<RecordedUsage> sync, long deadlineNanos, String late)
            throws SyscallException, SuperblockUnavailableException, TimeoutException, SnapshotException {
        try {
            RecordedUsage usage = sync.get(deadlineNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
            running.remove(id, sync);
            return usage;
        } catch (TimeoutException e) {
            // A disk that is merely slow passes the probe.
            superblock.suspect();
            LOG.log(WARNING, late, "id", id, "timeout_millis", timeoutMillis);
            TimeoutException timeout = new TimeoutException("writing it back takes more than " + timeoutMillis + " ms");
            timeout.initCause(e);
            throw timeout;
        } catch (ExecutionException e) {
            running.remove(id, sync);
            if (e.getCause() instanceof SyscallException failed) {
                superblock.suspect(failed.errno());
                throw failed;
            }
            if (e.getCause() instanceof SuperblockUnavailableException unavailable) {
                throw unavailable;
            }
            if (e.getCause() instanceof SnapshotException refused) {
                throw refused;
            }
            throw new IllegalStateException("syncing snapshot " + id, e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            TimeoutException timeout = new TimeoutException("interrupted while it was written back");
            timeout.initCause(e);
            throw timeout;
        }
    }

    /** On a thread of the syncs, which nobody interrupts. */
    private static RecordedUsage resultOf(Future<RecordedUsage> usage) throws SnapshotException {
        try {
            return usage.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof SnapshotException refused) {
                throw refused;
            }
            throw new IllegalStateException("counting usage", e.getCause());
        } catch (InterruptedException e) {
            throw new IllegalStateException("nobody interrupts the thread of a sync", e);
        }
    }

    /** Whether the snapshot is being brought to disk: not any more where nobody has asked again for one that ended after its deadline. */
    boolean isRunning(long id) {
        Future<RecordedUsage> sync = running.get(id);
        return sync != null && !sync.isDone();
    }

    /** The snapshot is gone: nobody asks for its sync any more. */
    void forget(long id) {
        running.remove(id);
    }

    @Override
    public void close() {
        threads.shutdown();
        counts.shutdown();
    }

    @FunctionalInterface
    private interface Step {
        RecordedUsage run(CommittedMark mark)
                throws SyscallException, SuperblockUnavailableException, SnapshotException;
    }

    @FunctionalInterface
    private interface SyncStep {
        void run() throws SyscallException, SuperblockUnavailableException;
    }
}
