package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.util.Optional;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * The error epochs of one superblock, from the sentinel that reports an error to the new one that stands when it is cleared.
 *
 * <ul>
 *   <li>One epoch at a time. Whoever notices the error opens it and asks every overlay, at once and on its own thread: that takes
 *       microseconds and never waits for the disk.
 *   <li>An attempt to clear it runs on a thread of its own, since all of it waits for the disk: the overlays are asked again, the
 *       disk is checked, what has lost a write must be recorded, {@code syncfs} marks the error as seen, a new sentinel is mounted, and the overlays are asked once more.
 *   <li>An attempt that fails is repeated after a pause that grows from {@value #FIRST_PAUSE_MILLIS} to {@value #LONGEST_PAUSE_MILLIS}
 *       ms: each one writes to a disk that may not take it. A request that needs the disk has it made after
 *       {@value #SHORTEST_PAUSE_MILLIS} ms.
 * </ul>
 *
 * Thread-safe.
 */
final class ErrorEpochs implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(ErrorEpochs.class.getName());

    static final long SHORTEST_PAUSE_MILLIS = 100;
    static final long FIRST_PAUSE_MILLIS = 250;
    static final long LONGEST_PAUSE_MILLIS = 10_000;

    private static final double NANOS_PER_SECOND = 1e9;
    private static final long START_WAIT_MILLIS = 10_000;
    private static final long STOP_WAIT_MILLIS = 1_000;

    private final Device device;
    private final CurrentSentinel sentinel;
    private final DiskCheck diskCheck;
    private final StateMachine machine;
    private final Metrics metrics;
    private final Runnable wake;
    private final ThreadPoolExecutor clearing;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();

    private volatile @Nullable SuperblockListener listener;

    /** Guarded by {@link #lock}, as what follows. */
    private @Nullable ErrorEpoch open;

    private boolean isClosed;
    private long openedNanos;
    private int waiters;
    private long begun;
    private Errno lastErrno = Errno.EIO;
    private boolean isAttempted;
    private int failedAttempts;
    private long lastAttemptNanos;
    private long nextAttemptNanos;

    ErrorEpochs(
            Device device,
            CurrentSentinel sentinel,
            DiskCheck diskCheck,
            StateMachine machine,
            Metrics metrics,
            Runnable wake) {
        this.device = device;
        this.sentinel = sentinel;
        this.diskCheck = diskCheck;
        this.machine = machine;
        this.metrics = metrics;
        this.wake = wake;
        // One attempt at a time is asked for.
        this.clearing = new ThreadPoolExecutor(
                1,
                1,
                0,
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(1),
                Thread.ofPlatform().name("superblock-clear-" + device).daemon().factory());
        // Not by the watch, whose priority it would inherit.
        clearing.prestartCoreThread();
        metrics.queueLength("clearing", this::waiters);
        metrics.openEpoch(this::openSeconds);
    }

    private int waiters() {
        lock.lock();
        try {
            return waiters;
        } finally {
            lock.unlock();
        }
    }

    private double openSeconds() {
        lock.lock();
        try {
            return open == null ? 0 : (System.nanoTime() - openedNanos) / NANOS_PER_SECOND;
        } finally {
            lock.unlock();
        }
    }

    void setListener(SuperblockListener told) {
        listener = told;
    }

    /**
     * Adopts the sentinel of an earlier daemon if there is one, and changes nothing.
     *
     * @return what it says
     */
    WatchedSuperblock.Past adopt() throws SyscallException {
        if (!sentinel.adopt()) {
            return WatchedSuperblock.Past.UNKNOWN;
        }
        return sentinel.error().isEmpty() ? WatchedSuperblock.Past.CLEAN : WatchedSuperblock.Past.ERROR;
    }

    /**
     * Adopts the sentinel of an earlier daemon or mounts a new one; an error that it reports, or that is unseen, is cleared. If that
     * can't be done now, because the disk fails, an epoch stays open and the watch goes on trying.
     *
     * @param mayMount whether a new sentinel may stand at once: all that can't be trusted is recorded, and what is found next can be. If not, none
     *     does before the listener says so
     * @return whether a sentinel stood and is clean
     * @throws SyscallException if a sentinel can't be mounted for another reason than a failing disk
     */
    boolean start(boolean mayMount) throws SyscallException {
        if (sentinel.adopt()) {
            Optional<Errno> error = sentinel.error();
            if (error.isEmpty()) {
                prepareCheck();
                return true;
            }
            begin(error.get());
        } else {
            Optional<Errno> failure = mayMount ? mountFirst() : Optional.of(unrecorded());
            if (failure.isEmpty()) {
                return false;
            }
            begin(failure.get());
        }
        var _ = awaitClean(START_WAIT_MILLIS);
        return false;
    }

    /** What the epoch begins with that stands for a sentinel which nobody may mount yet: none is taken for an error. */
    private Errno unrecorded() {
        LOG.log(WARNING, "no sentinel is mounted before the records can be written", "device", device);
        return Errno.EIO;
    }

    /** Where the disk does not let it the check does it itself. */
    private void prepareCheck() throws SyscallException {
        try {
            diskCheck.prepare();
        } catch (SyscallException e) {
            if (!isDisk(e.errno())) {
                throw e;
            }
            LOG.log(WARNING, "the disk's check can't be prepared yet", "device", device, "failure", e);
        }
    }

    /** Why the disk does not let it; empty if it stands. */
    private Optional<Errno> mountFirst() throws SyscallException {
        try {
            sentinel.renew();
            diskCheck.prepare();
            return Optional.empty();
        } catch (SyscallException e) {
            if (!isDisk(e.errno())) {
                throw e;
            }
            LOG.log(WARNING, "no sentinel can be mounted yet", "device", device, "failure", e);
            return Optional.of(e.errno());
        } catch (SuperblockUnavailableException e) {
            LOG.log(WARNING, "no sentinel can be mounted yet", "device", device, "failure", e);
            return Optional.of(e.errno());
        }
    }

    private static boolean isDisk(Errno errno) {
        return errno.is(Errno.EIO)
                || errno.is(Errno.EROFS)
                || errno.isNoRoom()
                || errno.is(Errno.ESHUTDOWN)
                || errno.is(Errno.EUCLEAN);
    }

    /** Epochs so far. One that began while a witness was open is an error that this witness reports. */
    long begun() {
        lock.lock();
        try {
            return begun;
        } finally {
            lock.unlock();
        }
    }

    /** Of the latest epoch; EIO before the first. */
    Errno latestError() {
        lock.lock();
        try {
            return lastErrno;
        } finally {
            lock.unlock();
        }
    }

    /** Whether there is no unseen error now: no epoch is open, and the sentinel has nothing to report. */
    boolean isClean() {
        lock.lock();
        try {
            return open == null && sentinel.error().isEmpty();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Whether the superblock has had an error since {@link #begun} gave {@code before}, noticed or not. Begins an epoch if the sentinel has
     * one to report. Under a microsecond while all is well, never waits for the disk.
     *
     * @throws SuperblockUnavailableException after a stop: nobody knows any more
     */
    Optional<Errno> errorSince(long before) throws SuperblockUnavailableException {
        notice();
        lock.lock();
        try {
            if (isClosed) {
                throw new SuperblockUnavailableException(
                        "device " + device + " is not watched any more", device, Errno.ESHUTDOWN, null);
            }
            return begun == before && open == null ? sentinel.error() : Optional.of(lastErrno);
        } finally {
            lock.unlock();
        }
    }

    /**
     * Asks the sentinel, and begins an epoch if it has an error to report. Under a microsecond while all is well, never waits for the
     * disk.
     *
     * @return whether an epoch is open now
     */
    boolean notice() {
        Optional<Errno> error = sentinel.error();
        if (error.isPresent()) {
            begin(error.get());
            return true;
        }
        return isOpen();
    }

    /** While an epoch stays open there is no sentinel to ask: the overlays are asked at each turn of the watch. */
    void lookAgain() {
        ErrorEpoch epoch;
        lock.lock();
        try {
            epoch = open;
        } finally {
            lock.unlock();
        }
        if (epoch != null) {
            var _ = look(epoch);
        }
    }

    boolean isOpen() {
        lock.lock();
        try {
            return open != null;
        } finally {
            lock.unlock();
        }
    }

    private void begin(Errno errno) {
        ErrorEpoch epoch;
        lock.lock();
        try {
            // Between the question and the lock the epoch may have begun, or even ended.
            // After a stop there is no sentinel to ask, which is no error.
            if (isClosed || open != null || sentinel.error().isEmpty()) {
                return;
            }
            begun++;
            lastErrno = errno;
            epoch = new ErrorEpoch(begun, device, errno);
            open = epoch;
            openedNanos = System.nanoTime();
            // Nobody clears it before every overlay was asked.
            isAttempted = true;
            failedAttempts = 0;
        } finally {
            lock.unlock();
        }
        try {
            tell(told -> told.begun(epoch));
            var _ = look(epoch);
            // After the overlays were asked: what the state's listeners do and log can wait.
            machine.epochBegan(errno);
        } finally {
            lock.lock();
            try {
                isAttempted = false;
                nextAttemptNanos = System.nanoTime();
            } finally {
                lock.unlock();
            }
        }
        clearIfDue();
    }

    /** Begins the next attempt to clear the open epoch, if there is one, none is under way and the pause is over. Returns at once. */
    void clearIfDue() {
        lock.lock();
        try {
            ErrorEpoch epoch = open;
            if (epoch == null || isAttempted || System.nanoTime() - nextAttemptNanos < 0) {
                return;
            }
            isAttempted = true;
            clearing.execute(() -> attempt(epoch));
        } catch (RejectedExecutionException e) {
            LOG.log(INFO, "an epoch stays open: the watch has ended", "device", device);
        } finally {
            lock.unlock();
        }
    }

    /** When the next attempt is due; {@link Long#MAX_VALUE} if none is. */
    long nanosToNextAttempt() {
        lock.lock();
        try {
            return open == null || isAttempted ? Long.MAX_VALUE : Math.max(0, nextAttemptNanos - System.nanoTime());
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits until there is no unseen error; where an attempt has failed, for the next one, which is made soon and not only after its
     * pause.
     *
     * @return false if that attempt failed too, or after the time
     */
    boolean awaitClean(long timeoutMillis) {
        long leftNanos = TimeUnit.MILLISECONDS.toNanos(timeoutMillis);
        lock.lock();
        try {
            int failedBefore = failedAttempts;
            if (open != null && !isAttempted && failedAttempts > 0) {
                // Somebody wants the disk now: if it has healed, nobody needs to wait for the end of a long pause.
                nextAttemptNanos = lastAttemptNanos + TimeUnit.MILLISECONDS.toNanos(SHORTEST_PAUSE_MILLIS);
                wake.run();
            }
            waiters++;
            try {
                while (open != null && failedAttempts == failedBefore && leftNanos > 0) {
                    leftNanos = changed.awaitNanos(leftNanos);
                }
            } finally {
                waiters--;
            }
            return open == null;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        } finally {
            lock.unlock();
        }
    }

    @SuppressWarnings("CatchingUnchecked") // whatever happens, it is tried again
    private void attempt(ErrorEpoch epoch) {
        try {
            boolean isRecorded = look(epoch);
            diskCheck.run();
            if (!isRecorded) {
                // It stores data: where the records were refused, they may be accepted now.
                tell(SuperblockListener::storesData);
                isRecorded = look(epoch);
            }
            requireRecorded(isRecorded);
            sentinel.consumeError();
            sentinel.renew();
            requireRecorded(look(epoch));
            end(epoch);
        } catch (SyscallException
                | SuperblockUnavailableException
                | NotRecordedException
                | RuntimeException
                | Error e) {
            failed(e);
        }
    }

    private void end(ErrorEpoch epoch) {
        // Who waits for the epoch's end looks at the state next, and may need the records.
        machine.epochEnded();
        tell(told -> told.cleared(epoch));
        lock.lock();
        try {
            open = null;
            isAttempted = false;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        // An error since the last look is in the new sentinel, but the kernel's word on it came while this epoch was
        // open.
        wake.run();
    }

    private void tell(Consumer<SuperblockListener> what) {
        SuperblockListener told = listener;
        if (told != null) {
            what.accept(told);
        }
    }

    private void failed(Throwable failure) {
        diskErrno(failure).ifPresent(errno -> machine.clearingFailed(errno, String.valueOf(failure.getMessage())));
        metrics.clearingFailed();
        boolean isFirst;
        lock.lock();
        try {
            isFirst = failedAttempts == 0;
            long pauseMillis =
                    Math.min(FIRST_PAUSE_MILLIS << Math.min(failedAttempts, Byte.SIZE), LONGEST_PAUSE_MILLIS);
            failedAttempts++;
            lastAttemptNanos = System.nanoTime();
            nextAttemptNanos = lastAttemptNanos + TimeUnit.MILLISECONDS.toNanos(pauseMillis);
            isAttempted = false;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        if (failure instanceof RuntimeException || failure instanceof Error) {
            LOG.log(
                    WARNING,
                    "clearing a writeback error failed in an unforeseen way",
                    "device",
                    device,
                    "failure",
                    failure);
        } else if (isFirst) {
            // Once for each epoch: on a disk that stays bad the attempts go on for hours.
            LOG.log(
                    INFO,
                    "writeback error not cleared yet",
                    "device",
                    device,
                    "cause",
                    String.valueOf(failure.getMessage()));
        }
    }

    /** Empty if the failure says nothing of the disk: then the epoch stays open, and nothing else is known. */
    private static Optional<Errno> diskErrno(Throwable failure) {
        return switch (failure) {
            case SyscallException refused -> Optional.of(refused.errno()).filter(errno -> !errno.isShortage());
            case SuperblockUnavailableException unavailable -> Optional.of(unavailable.errno());
            default -> Optional.empty();
        };
    }

    private static final class NotRecordedException extends Exception {
        private static final long serialVersionUID = 1;

        NotRecordedException(Device device) {
            super("what has lost a write on device " + device + " is not recorded yet");
        }
    }

    private boolean look(ErrorEpoch epoch) {
        SuperblockListener told = listener;
        return told == null || told.look(epoch);
    }

    /**
     * The record of what has lost a write comes before the error is marked as seen: a durable snapshot has nothing but its record that
     * would tell the next daemon.
     */
    private void requireRecorded(boolean isRecorded) throws NotRecordedException {
        if (!isRecorded) {
            throw new NotRecordedException(device);
        }
    }

    /** Leaves the sentinel mounted: it watches until the next daemon comes. Waits a bounded time for an attempt that is under way. */
    @Override
    public void close() {
        lock.lock();
        try {
            isClosed = true;
        } finally {
            lock.unlock();
        }
        clearing.shutdown();
        try {
            if (!clearing.awaitTermination(STOP_WAIT_MILLIS, TimeUnit.MILLISECONDS)) {
                LOG.log(WARNING, "an attempt to clear a writeback error is left behind", "device", device);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        sentinel.close();
    }
}
