package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.RegularFiles;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.superblock.FileSystemLog;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import io.github.volatilesnapshotter.superblock.Witness;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * Brings an upper to disk, so that it can become a layer, within a bounded time.
 *
 * <p>A sync can't be interrupted, and on a hung device it never returns: it runs on a thread of its own, and whoever waits for it
 * gives up after the deadline. The next try for the same snapshot waits for the one that still runs.
 */
final class LayerSync implements AutoCloseable {
    /** Syncs that run or hang at once; a further one is refused. */
    private static final int MAX_THREADS = 64;

    private final Layout layout;
    private final WatchedSuperblock superblock;
    private final SyncChoice choice;
    private final long timeoutMillis;
    private final Map<Long, Future<@Nullable Void>> running = new ConcurrentHashMap<>();
    private final ThreadPoolExecutor threads = new ThreadPoolExecutor(
            0,
            MAX_THREADS,
            10,
            TimeUnit.SECONDS,
            new SynchronousQueue<>(),
            Thread.ofPlatform().name("layer-sync-", 0).daemon().factory());

    LayerSync(Layout layout, WatchedSuperblock superblock, SyncChoice choice, long timeoutMillis) {
        this.layout = layout;
        this.superblock = superblock;
        this.choice = choice;
        this.timeoutMillis = timeoutMillis;
    }

    /** Syncs that run now. */
    int running() {
        return threads.getActiveCount();
    }

    /**
     * Returns when the upper of a durable snapshot, its directory entries and the name of the layer are on disk.
     *
     * @throws SyscallException if writing back failed, now or at any time since the witness was opened
     * @throws SuperblockUnavailableException if nobody knows whether it failed, because the daemon stops
     * @throws TimeoutException if it takes longer than the deadline
     */
    void syncDurable(long id, String name, Witness witness)
            throws SyscallException, SuperblockUnavailableException, TimeoutException {
        within(id, () -> {
            Optional<FileSystemLog> log = choice.targetedLog(id);
            if (log.isPresent()) {
                writeBack(id, log.get());
                CrashPoint.LAYER_SYNCED.reached();
                // A layer of which something is lost gets no mark.
                requireNoError(witness);
                markCommitted(id, name);
                requireNoError(witness);
            } else {
                witness.sync();
                CrashPoint.LAYER_SYNCED.reached();
                markCommitted(id, name);
            }
        });
    }

    /** The same for a volatile snapshot, whose own overlay is its witness. */
    void syncVolatile(long id, String name, VolatileOverlay overlay)
            throws SyscallException, SuperblockUnavailableException, TimeoutException {
        within(id, () -> {
            Optional<FileSystemLog> log = choice.targetedLog(id);
            if (log.isPresent()) {
                writeBack(id, log.get());
            } else {
                try (Fd upper = Fd.openDirectory(layout.upper(id))) {
                    Sync.syncfs(upper);
                }
            }
            CrashPoint.LAYER_SYNCED.reached();
            markCommitted(id, name);
            // Asked last: its sample is as old as the mount, so it covers the sync itself, whoever consumed the error.
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
        });
    }

    /**
     * Brings the layer's own content to the device, and to the log what is to be known of it. All of it is begun before any of it is
     * waited for. On disk it is when the log is committed: here, or with the mark.
     */
    private void writeBack(long id, FileSystemLog log) throws SyscallException {
        Path upper = layout.upper(id);
        RegularFiles.each(upper, Sync::startWriteback);
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

    /**
     * A new name in the layer's directory, made durable; on ext4 and xfs the fsync of its file commits all of the log. After a journal was aborted {@code syncfs} fails once and then succeeds
     * on a filesystem that writes nothing any more; making a name fails for good.
     */
    private void markCommitted(long id, String name) throws SyscallException {
        Path mark = layout.committedMark(id);
        Path draft = mark.resolveSibling("committed.new");
        try (Fd file = Fd.openEmptied(draft)) {
            file.write((name + "\n").getBytes(StandardCharsets.UTF_8));
            Sync.fsync(file);
        } catch (SyscallException e) {
            removeDraft(draft, e);
            throw e;
        }
        CrashPoint.MARK_DRAFTED.reached();
        Entries.rename(draft, mark);
        CrashPoint.MARK_NAMED.reached();
        try (Fd directory = Fd.openDirectory(layout.snapshot(id))) {
            Sync.fsync(directory);
        }
        CrashPoint.MARK_SYNCED.reached();
    }

    private static void removeDraft(Path draft, SyscallException cause) {
        try {
            Entries.unlink(draft);
        } catch (SyscallException e) {
            if (!e.errno().equals(Errno.ENOENT)) {
                cause.addSuppressed(e);
            }
        }
    }

    private void within(long id, Step step) throws SyscallException, SuperblockUnavailableException, TimeoutException {
        long deadlineNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(timeoutMillis);
        Future<@Nullable Void> before = running.get(id);
        if (before != null) {
            await(id, before, deadlineNanos);
        }
        Future<@Nullable Void> sync;
        try {
            sync = threads.submit(() -> {
                step.run();
                return null;
            });
        } catch (RejectedExecutionException e) {
            TimeoutException timeout = new TimeoutException(MAX_THREADS + " layer syncs are running already");
            timeout.initCause(e);
            throw timeout;
        }
        running.put(id, sync);
        await(id, sync, deadlineNanos);
    }

    private void await(long id, Future<@Nullable Void> sync, long deadlineNanos)
            throws SyscallException, SuperblockUnavailableException, TimeoutException {
        try {
            sync.get(deadlineNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
            running.remove(id, sync);
        } catch (TimeoutException e) {
            TimeoutException timeout = new TimeoutException("writing it back takes more than " + timeoutMillis + " ms");
            timeout.initCause(e);
            throw timeout;
        } catch (ExecutionException e) {
            running.remove(id, sync);
            if (e.getCause() instanceof SyscallException failed) {
                throw failed;
            }
            if (e.getCause() instanceof SuperblockUnavailableException unavailable) {
                throw unavailable;
            }
            throw new IllegalStateException("syncing snapshot " + id, e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            TimeoutException timeout = new TimeoutException("interrupted while it was written back");
            timeout.initCause(e);
            throw timeout;
        }
    }

    /** Whether the snapshot is being brought to disk: not any more where nobody has asked again for one that ended after its deadline. */
    boolean isRunning(long id) {
        Future<@Nullable Void> sync = running.get(id);
        return sync != null && !sync.isDone();
    }

    /** The snapshot is gone: nobody asks for its sync any more. */
    void forget(long id) {
        running.remove(id);
    }

    @Override
    public void close() {
        threads.shutdown();
    }

    @FunctionalInterface
    private interface Step {
        void run() throws SyscallException, SuperblockUnavailableException;
    }
}
