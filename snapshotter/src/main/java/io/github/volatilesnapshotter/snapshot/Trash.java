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
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * Where directories wait to be deleted. Putting one there is a rename; deleting happens on one thread of its own, at idle priority. The
 * directory itself is the queue: nothing is forgotten by a crash, and nothing but counts is held in memory, and when to try again what
 * could not be deleted. What can't even be moved there is kept in mind, and tried again in the same way; the next start finds it as well.
 *
 * <p>Deleting stays on the trash's own mount. What somebody has mounted inside is detached first, so that nothing on it is touched; what is
 * immutable or append-only is made not to be.
 */
final class Trash implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Trash.class.getName());

    /** From one look for what is due again to the next. */
    private static final long RETRY_MILLIS = Postponed.FIRST_PAUSE_MILLIS;

    private static final long STOP_WAIT_MILLIS = 5_000;

    /** Directories that may wait at low priority. */
    private static final int MANY = 1_000;

    /** Directories outside of the trash that are kept in mind. */
    static final int MOST_UNMOVED = 10_000;

    private final Path directory;
    private final AtomicLong sequence;
    private final AtomicBoolean isSweepDue = new AtomicBoolean();
    private final AtomicBoolean isRetryDue = new AtomicBoolean();

    /** How many were moved here, all in all: each is counted before the sweep that it asks for begins. */
    private final AtomicLong moved = new AtomicLong();

    /** Written by the thread. */
    private volatile Listing listing = new Listing(0, 0);

    /** A sweep of everything that has not begun: all who come before it does wait for the same one. */
    private final AtomicReference<@Nullable FutureTask<Boolean>> nextSweep = new AtomicReference<>();

    /** What could not be deleted, in the trash now; used by the thread, but for its size. */
    private final Postponed failed = new Postponed(System::nanoTime);

    /** What could not be moved here, by its path now. Added to by any thread; taken from by the trash's. */
    private final Postponed unmoved = new Postponed(System::nanoTime);

    private final AtomicBoolean isOverfull = new AtomicBoolean();

    /**
     * What the trash held when it was last listed, less what was deleted since.
     *
     * @param movedBefore how many had been moved here when the listing began: those after it may be in it or not
     */
    private record Listing(long left, long movedBefore) {
        Listing lessOne() {
            return new Listing(left - 1, movedBefore);
        }
    }

    /** At most three tasks wait for it: two sweeps, and one that is due after a pause. After a stop it takes none, and says nothing. */
    private final ScheduledThreadPoolExecutor thread = new ScheduledThreadPoolExecutor(
            1, Thread.ofPlatform().name("trash").daemon().factory(), new ThreadPoolExecutor.DiscardPolicy());

    /** @param directory on the same filesystem as everything that is thrown into it */
    Trash(Path directory) {
        this.directory = directory;
        // Names must not meet those that an earlier daemon left.
        this.sequence = new AtomicLong(System.currentTimeMillis() * 1_000);
        // A stop does not wait for the next try.
        this.thread.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    }

    /** Begins to delete what an earlier daemon left. */
    void start() {
        requestSweep();
    }

    /** Takes {@code path} out of sight at once; what it holds is deleted later. One that does not exist is no error. */
    void throwAway(Path path) throws SyscallException {
        if (move(path)) {
            requestSweep();
        }
    }

    /**
     * As {@link #throwAway}, but what can't be moved now is moved as soon as that works: the path must mean nothing else until then. It is
     * logged once, and counted as {@link #waiting} and {@link #failing}.
     *
     * @return false if it is not moved yet
     */
    boolean throwAwaySoonerOrLater(Path path) {
        try {
            throwAway(path);
            return true;
        } catch (SyscallException e) {
            keepInMind(path, e);
            return false;
        }
    }

    private void keepInMind(Path path, SyscallException why) {
        if (unmoved.size() < MOST_UNMOVED) {
            if (unmoved.add(path)) {
                LOG.log(WARNING, path + " can't be moved to the trash now, it is tried again", why);
            }
            retryLater();
        } else if (isOverfull.compareAndSet(false, true)) {
            LOG.log(
                    WARNING,
                    path + " can't be moved to the trash, as " + MOST_UNMOVED
                            + " others; those beyond them are left to the next start",
                    why);
        }
    }

    /** Whether there was something to move. */
    private boolean move(Path path) throws SyscallException {
        Path target = directory.resolve(path.getFileName() + "." + sequence.incrementAndGet());
        try {
            Entries.rename(path, target);
        } catch (SyscallException e) {
            // Not by the error: a filesystem that is read-only says so of what is not there, too.
            if (!Entries.exists(path)) {
                return false;
            }
            if (!isFreed(path, e.errno())) {
                throw e;
            }
            Entries.rename(path, target);
        }
        moved.incrementAndGet();
        CrashPoint.THROWN_AWAY.reached();
        return true;
    }

    /** Whether what stood in the way of a rename is gone: somebody's mount on it, or a flag of it. */
    private static boolean isFreed(Path path, Errno errno) throws SyscallException {
        if (errno.equals(Errno.EBUSY)) {
            Mounting.detach(path);
            return true;
        }
        return errno.equals(Errno.EPERM) && InodeFlags.unprotect(path);
    }

    /** Directories that wait. What came while the trash was listed counts twice until the next sweep, which it has asked for. */
    long waiting() {
        Listing seen = listing;
        return seen.left() + moved.get() - seen.movedBefore() + unmoved.size();
    }

    /** Directories that wait because they could not be deleted, or not even moved. */
    long failing() {
        return (long) failed.size() + unmoved.size();
    }

    /**
     * Returns when everything that was thrown away before the call is deleted, or was tried. Callers share a sweep that has not begun, so
     * that no more than one waits, whoever has given up waiting for it.
     *
     * @return false if that was not so within the time, or something could not be deleted
     */
    boolean awaitSweep(long waitMillis) throws InterruptedException {
        try {
            return sharedSweep().get(waitMillis, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            return false;
        } catch (ExecutionException e) {
            throw new IllegalStateException("sweeping " + directory, e.getCause());
        }
    }

    /** Sweeps that are under way or wait for their turn. */
    int sweepsAhead() {
        return thread.getQueue().size() + thread.getActiveCount();
    }

    private Future<Boolean> sharedSweep() {
        while (true) {
            FutureTask<Boolean> next = nextSweep.get();
            if (next != null) {
                return next;
            }
            FutureTask<Boolean> mine = new FutureTask<>(() -> {
                // Before it looks: whoever comes from now on needs another one.
                nextSweep.set(null);
                return sweep(true);
            });
            if (nextSweep.compareAndSet(null, mine)) {
                thread.execute(mine);
                return mine;
            }
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
        if (isRetryDue.compareAndSet(false, true)) {
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
            if (waiting() < MANY) {
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
        moveWhatCouldNotBe(all);
        try {
            List<Path> contents = list();
            setPriority();
            failed.retainAll(contents);
            for (Path path : contents) {
                if (!thread.isShutdown() && (all || failed.isDue(path))) {
                    delete(path);
                }
            }
            return failing() == 0;
        } catch (SyscallException e) {
            LOG.log(WARNING, "trash " + directory + " can't be read, tried again in " + RETRY_MILLIS + " ms", e);
            return false;
        }
    }

    private void moveWhatCouldNotBe(boolean all) {
        for (Path path : unmoved.paths()) {
            if (thread.isShutdown() || !(all || unmoved.isDue(path))) {
                continue;
            }
            try {
                boolean _ = move(path);
                unmoved.remove(path);
            } catch (SyscallException e) {
                boolean _ = unmoved.postpone(path);
                LOG.log(DEBUG, path + " still can't be moved to the trash", e);
            }
        }
    }

    private List<Path> list() throws SyscallException {
        long movedBefore = moved.get();
        List<Path> contents = contents();
        listing = new Listing(contents.size(), movedBefore);
        return contents;
    }

    private void delete(Path path) {
        try {
            deleteOrDetach(path);
            CrashPoint.TRASH_DELETED.reached();
            failed.remove(path);
            listing = listing.lessOne();
        } catch (SyscallException e) {
            // Once: it may stay for hours.
            LOG.log(
                    failed.postpone(path) ? WARNING : DEBUG,
                    "trash " + path + " can't be deleted now, it is tried again",
                    e);
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
