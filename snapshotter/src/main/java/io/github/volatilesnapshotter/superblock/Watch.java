package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.EventFd;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.linux.Poll;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * Looks at a superblock, on a thread of its own: at once when the kernel says that something went wrong, and at a steady pace for the
 * case that it does not say it. Nothing that this thread does waits for the watched disk; for the record of a poison it waits a
 * bounded time.
 */
public final class Watch implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Watch.class.getName());

    private static final Duration STOP_WAIT = Duration.ofSeconds(2);

    private static final int REHEARSALS = 300;

    private final WatchedSuperblock superblock;
    private final ErrorSignals signals;
    private final EventFd woken;
    private final Runnable afterEachLook;
    private final Thread thread;

    private volatile boolean isClosed;
    private volatile long lastLookNanos = System.nanoTime();
    private long lastProbeNanos = System.nanoTime();

    private Watch(WatchedSuperblock superblock, ErrorSignals signals, EventFd woken, Runnable afterEachLook) {
        this.superblock = superblock;
        this.signals = signals;
        this.woken = woken;
        this.afterEachLook = afterEachLook;
        this.thread = Thread.ofPlatform()
                .name("superblock-watch-" + superblock.device())
                .daemon()
                .unstarted(this::loop);
    }

    /**
     * A watch that does not look yet; what the kernel says from now on is kept for its first look.
     *
     * @param afterEachLook called on the watch's thread
     */
    public static Watch of(WatchedSuperblock superblock, Metrics metrics, Runnable afterEachLook)
            throws SyscallException {
        EventFd woken = EventFd.create();
        Watch watch = new Watch(
                superblock, new ErrorSignals(superblock.pool(), superblock.mount(), metrics), woken, afterEachLook);
        superblock.setWake(watch::wake);
        return watch;
    }

    public void start() {
        thread.start();
    }

    /** How long ago the last look ended: well above the interval means that the watch does not work. */
    public long nanosSinceLastLook() {
        return System.nanoTime() - lastLookNanos;
    }

    /** Synchronized with the end, so that a number that was given to another file meanwhile is never written to. */
    private synchronized void wake() {
        try {
            if (woken.fd().isOpen()) {
                woken.signal();
            }
        } catch (SyscallException e) {
            // It looks at its next turn in any case.
            LOG.log(WARNING, "the watch can't be woken", "failure", e);
        }
    }

    @SuppressWarnings("CatchingUnchecked") // a watch that ended would be the worst that can happen
    private void loop() {
        goFirst();
        boolean isRehearsed = false;
        while (!isClosed) {
            try {
                if (!isRehearsed) {
                    isRehearsed = true;
                    rehearse();
                }
                long waitNanos = Math.min(superblock.nanosToNextLook(), nanosToNextProbe());
                // Rounded up: a wait of 0 ms would turn again and again until it is time.
                long waitMillis = TimeUnit.NANOSECONDS.toMillis(waitNanos) + 1;
                List<Fd> readable = Poll.awaitReadable(polled(), (int) Math.min(waitMillis, Integer.MAX_VALUE));
                if (!isClosed) {
                    look(readable);
                }
            } catch (SyscallException | RuntimeException | Error e) {
                LOG.log(ERROR, "looking at superblock " + superblock.device() + " failed", e);
                // Whatever fails now would fail again at once.
                LockSupport.parkNanos(
                        TimeUnit.MILLISECONDS.toNanos(superblock.settings().intervalMillis()));
            }
        }
    }

    private List<Fd> polled() {
        List<Fd> polled = new ArrayList<>(signals.descriptors());
        polled.add(woken.fd());
        return polled;
    }

    /** While requests keep all processors busy, an error would else wait for its turn, longer than all the rest takes. */
    private void goFirst() {
        try {
            Niceness.goFirst();
        } catch (SyscallException e) {
            LOG.log(INFO, "under load the watch waits for its turn", "cause", e.getMessage());
        }
    }

    /** The compiler begins at 200 calls, and at one a second the first error would come before that. Takes less than a millisecond. */
    private void rehearse() {
        for (int turn = 0; turn < REHEARSALS && !isClosed; turn++) {
            superblock.ask();
        }
    }

    private void look(List<Fd> readable) throws SyscallException {
        boolean isWoken = readable.contains(woken.fd());
        if (isWoken) {
            woken.drain();
        }
        if (readable.size() > (isWoken ? 1 : 0)) {
            // Before what was said is read: asking takes a microsecond, and reading as long as all that follows.
            superblock.ask();
            listen(readable);
        }
        signals.reopenIfDue();
        probeIfDue();
        superblock.look();
        afterEachLook.run();
        lastLookNanos = System.nanoTime();
    }

    private void listen(List<Fd> readable) {
        ErrorSignals.Said said = signals.read(readable);
        if (!said.failures().isEmpty()) {
            superblock.writebackFailed(said.failures());
        }
        if (said.hasFileSystemError()) {
            superblock.suspect();
        }
    }

    private long nanosToNextProbe() {
        return Math.max(0, lastProbeNanos + superblock.probeIntervalNanos() - System.nanoTime());
    }

    private void probeIfDue() {
        if (nanosToNextProbe() == 0) {
            lastProbeNanos = System.nanoTime();
            superblock.suspect();
        }
    }

    /** Stops looking and removes the trace; waits a bounded time for a look that is under way. */
    @Override
    public void close() {
        if (isClosed) {
            return;
        }
        isClosed = true;
        wake();
        try {
            if (thread.isAlive() && !thread.join(STOP_WAIT)) {
                LOG.log(WARNING, "a look is left behind, with its trace", "device", superblock.device());
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return;
        }
        signals.close();
        synchronized (this) {
            woken.close();
        }
    }
}
