package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Where directories wait to be deleted. Putting one there is a rename; deleting happens on one thread of its own. The directory
 * itself is the queue: nothing is forgotten by a crash, and nothing but a count is held in memory.
 */
final class Trash implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Trash.class.getName());

    /** What can't be deleted now is tried again after this. */
    private static final long RETRY_MILLIS = 30_000;

    private static final long STOP_WAIT_MILLIS = 5_000;

    /** Directories that may wait at low priority. */
    private static final int MANY = 1_000;

    private final Path directory;
    private final AtomicLong sequence;
    private final AtomicLong waiting = new AtomicLong();
    private final AtomicBoolean isSweepDue = new AtomicBoolean();
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().name("trash").daemon().factory());

    /** @param directory on the same filesystem as everything that is thrown into it */
    Trash(Path directory) {
        this.directory = directory;
        // Names must not meet those that an earlier daemon left.
        this.sequence = new AtomicLong(System.currentTimeMillis() * 1_000);
    }

    /** Begins to delete what an earlier daemon left. */
    void start() throws SyscallException {
        waiting.set(contents().size());
        requestSweep(0);
    }

    /** Takes {@code path} out of sight at once; what it holds is deleted later. One that does not exist is no error. */
    void throwAway(Path path) throws SyscallException {
        try {
            Entries.rename(path, directory.resolve(path.getFileName() + "." + sequence.incrementAndGet()));
        } catch (SyscallException e) {
            if (e.errno().equals(Errno.ENOENT)) {
                return;
            }
            throw e;
        }
        CrashPoint.THROWN_AWAY.reached();
        waiting.incrementAndGet();
        requestSweep(0);
    }

    /** Runs a task on the thread that deletes, at its priority, before everything that is asked of it later. */
    void runBefore(Runnable task) {
        var _ = thread.submit(() -> {
            setPriority();
            task.run();
        });
    }

    /** Directories that wait. */
    long waiting() {
        return waiting.get();
    }

    /**
     * Returns when everything that was thrown away before the call is deleted, or was tried.
     *
     * @return false if that was not so within the time
     */
    boolean awaitSweep(long waitMillis) throws InterruptedException {
        // One thread runs them in order: whatever sweep is under way, this one begins after it.
        Future<Boolean> sweep = thread.submit(this::sweep);
        try {
            return sweep.get(waitMillis, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            throw new IllegalStateException("sweeping " + directory, e.getCause());
        }
    }

    private void requestSweep(long delayMillis) {
        if (isSweepDue.compareAndSet(false, true)) {
            var _ = thread.schedule(this::sweepAndRetry, delayMillis, TimeUnit.MILLISECONDS);
        }
    }

    private void sweepAndRetry() {
        isSweepDue.set(false);
        if (!sweep() && !thread.isShutdown()) {
            requestSweep(RETRY_MILLIS);
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
            } else {
                Niceness.takeShare();
            }
        } catch (SyscallException e) {
            LOG.log(WARNING, "the priority of deletion can't be set", e);
        }
    }

    /** Whether all that was there is deleted. */
    private boolean sweep() {
        setPriority();
        try {
            boolean isComplete = true;
            for (Path path : contents()) {
                isComplete &= !thread.isShutdown() && delete(path);
            }
            return isComplete;
        } catch (SyscallException e) {
            LOG.log(WARNING, "trash " + directory + " can't be read, tried again in " + RETRY_MILLIS + " ms", e);
            return false;
        }
    }

    private boolean delete(Path path) {
        try {
            DirectoryTree.delete(path);
            CrashPoint.TRASH_DELETED.reached();
            waiting.decrementAndGet();
            return true;
        } catch (SyscallException e) {
            LOG.log(WARNING, "trash " + path + " can't be deleted now, tried again in " + RETRY_MILLIS + " ms", e);
            return false;
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
