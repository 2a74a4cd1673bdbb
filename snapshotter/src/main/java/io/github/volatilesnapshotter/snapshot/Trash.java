package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.InodeFlags;
import io.github.volatilesnapshotter.linux.IoPriority;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * Where directories wait to be deleted. Putting one there is a rename; deleting happens on one thread of its own, at idle priority. The
 * directory itself is the queue: nothing is forgotten by a crash, and nothing but counts is held in memory, and when to try again what
 * could not be deleted.
 *
 * <p>Deleting stays on the trash's own mount. What somebody has mounted inside is detached first, so that nothing on it is touched; what is
 * immutable or append-only is made not to be.
 */
final class Trash implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Trash.class.getName());

    /** What can't be deleted now is tried again after this, then after ever longer pauses... */
    private static final long RETRY_MILLIS = 30_000;

    /** ...which are no longer than this. */
    private static final long LONGEST_RETRY_MILLIS = 3_600_000;

    private static final long STOP_WAIT_MILLIS = 5_000;

    /** Directories that may wait at low priority. */
    private static final int MANY = 1_000;

    private final Path directory;
    private final AtomicLong sequence;
    private final AtomicLong waiting = new AtomicLong();
    private final AtomicBoolean isSweepDue = new AtomicBoolean();
    private final AtomicBoolean isRetryDue = new AtomicBoolean();

    /** What could not be deleted, in the trash now; used by the thread, but for its size. */
    private final Map<Path, Failed> failed = new ConcurrentHashMap<>();

    /** When the next try is due, as {@link System#nanoTime}, and the pause after it. */
    private record Failed(long nextNanos, long pauseMillis) {
        boolean isDue() {
            return System.nanoTime() - nextNanos >= 0;
        }
    }

    private final ScheduledThreadPoolExecutor thread = new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().name("trash").daemon().factory());

    /** @param directory on the same filesystem as everything that is thrown into it */
    Trash(Path directory) {
        this.directory = directory;
        // Names must not meet those that an earlier daemon left.
        this.sequence = new AtomicLong(System.currentTimeMillis() * 1_000);
        // A stop does not wait for the next try.
        this.thread.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    }

    /** Begins to delete what an earlier daemon left. */
    void start() throws SyscallException {
        waiting.set(contents().size());
        requestSweep();
    }

    /** Takes {@code path} out of sight at once; what it holds is deleted later. One that does not exist is no error. */
    void throwAway(Path path) throws SyscallException {
        Path target = directory.resolve(path.getFileName() + "." + sequence.incrementAndGet());
        try {
            Entries.rename(path, target);
        } catch (SyscallException e) {
            if (e.errno().equals(Errno.ENOENT)) {
                return;
            }
            if (!isFreed(path, e.errno())) {
                throw e;
            }
            Entries.rename(path, target);
        }
        CrashPoint.THROWN_AWAY.reached();
        waiting.incrementAndGet();
        requestSweep();
    }

    /** Whether what stood in the way of a rename is gone: somebody's mount on it, or a flag of it. */
    private static boolean isFreed(Path path, Errno errno) throws SyscallException {
        if (errno.equals(Errno.EBUSY)) {
            Mounting.detach(path);
            return true;
        }
        return errno.equals(Errno.EPERM) && InodeFlags.unprotect(path);
    }

    /** Directories that wait. */
    long waiting() {
        return waiting.get();
    }

    /** Directories that wait because they could not be deleted. */
    long failing() {
        return failed.size();
    }

    /**
     * Returns when everything that was thrown away before the call is deleted, or was tried.
     *
     * @return false if that was not so within the time
     */
    boolean awaitSweep(long waitMillis) throws InterruptedException {
        // One thread runs them in order: whatever sweep is under way, this one begins after it.
        Future<Boolean> sweep = thread.submit(() -> sweep(true));
        try {
            return sweep.get(waitMillis, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            throw new IllegalStateException("sweeping " + directory, e.getCause());
        }
    }

    private void requestSweep() {
        if (isSweepDue.compareAndSet(false, true)) {
            thread.execute(this::sweepAndRetry);
        }
    }

    private void sweepAndRetry() {
        isSweepDue.set(false);
        if (!sweep(false)) {
            retryLater();
        }
    }

    /** Beside the sweeps that are asked for, which must not wait for it. */
    private void retryLater() {
        if (isRetryDue.compareAndSet(false, true) && !thread.isShutdown()) {
            var _ = thread.schedule(
                    () -> {
                        isRetryDue.set(false);
                        sweepAndRetry();
                    },
                    RETRY_MILLIS,
                    TimeUnit.MILLISECONDS);
        }
    }

    /**
     * Nobody waits for a deletion, and on a busy node there are many; but on one that is busy for hours they must not pile up until
     * the disk is full.
     */
    private void setPriority() {
        try {
            if (waiting.get() < MANY) {
                Niceness.yieldToOthers();
                IoPriority.yieldToOthers();
            } else {
                Niceness.takeShare();
                IoPriority.takeShare();
            }
        } catch (SyscallException e) {
            LOG.log(WARNING, "the priority of deletion can't be set", e);
        }
    }

    /**
     * Whether all that was there is deleted.
     *
     * @param all also what failed a moment ago
     */
    private boolean sweep(boolean all) {
        setPriority();
        try {
            List<Path> contents = contents();
            failed.keySet().retainAll(Set.copyOf(contents));
            for (Path path : contents) {
                Failed before = failed.get(path);
                if (!thread.isShutdown() && (all || before == null || before.isDue())) {
                    delete(path, before);
                }
            }
            return failed.isEmpty();
        } catch (SyscallException e) {
            LOG.log(WARNING, "trash " + directory + " can't be read, tried again in " + RETRY_MILLIS + " ms", e);
            return false;
        }
    }

    private void delete(Path path, @Nullable Failed before) {
        try {
            deleteOrDetach(path);
            CrashPoint.TRASH_DELETED.reached();
            failed.remove(path);
            waiting.decrementAndGet();
        } catch (SyscallException e) {
            long pauseMillis = before == null ? RETRY_MILLIS : before.pauseMillis();
            failed.put(
                    path,
                    new Failed(
                            System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(pauseMillis),
                            Math.min(2 * pauseMillis, LONGEST_RETRY_MILLIS)));
            // Once: it may stay for hours.
            LOG.log(before == null ? WARNING : DEBUG, "trash " + path + " can't be deleted now, it is tried again", e);
        }
    }

    private static void deleteOrDetach(Path path) throws SyscallException {
        try {
            DirectoryTree.delete(path);
        } catch (SyscallException e) {
            if (!e.errno().is(Errno.EBUSY)) {
                throw e;
            }
            for (MountInfo mount : MountInfo.below(path).reversed()) {
                Mounting.detach(Path.of(mount.mountPoint()));
            }
            DirectoryTree.delete(path);
        }
    }

    private List<Path> contents() throws SyscallException {
        try (DirectoryStream<Path> stream = Files.newDirectoryStream(directory)) {
            List<Path> paths = new ArrayList<>();
            stream.forEach(paths::add);
            return paths;
        } catch (IOException | DirectoryIteratorException e) {
            throw new SyscallException("readdir", directory.toString(), Errno.EIO, e.toString());
        }
    }

    /** Stops deleting; what is left is deleted by the next daemon. */
    @Override
    public void close() {
        thread.shutdown();
        try {
            if (!thread.awaitTermination(STOP_WAIT_MILLIS, TimeUnit.MILLISECONDS)) {
                thread.shutdownNow();
            }
        } catch (InterruptedException e) {
            thread.shutdownNow();
            Thread.currentThread().interrupt();
        }
    }
}
