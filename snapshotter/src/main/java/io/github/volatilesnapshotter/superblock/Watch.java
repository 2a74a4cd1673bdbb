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

    /** Lost events, or lines that are not known, are nothing too. */
    private static final int MOST_EMPTY_READS = 100;

    private final WatchedSuperblock superblock;
    private final ErrorSignals signals;
    private final EventFd woken;
    private final List<Fd> polled = new ArrayList<>();
    private final Runnable afterEachLook;
    private final Thread thread;

    private volatile boolean isClosed;
    private volatile long lastLookNanos = System.nanoTime();
    private int emptyReads;
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
        polled.add(woken.fd());
        polled.addAll(signals.descriptors());
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
                superblock, ErrorSignals.open(superblock.pool(), superblock.mount(), metrics), woken, afterEachLook);
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
        rehearse();
        while (!isClosed) {
            try {
                // Rounded up: a wait of 0 ms would turn again and again until it is time.
                long waitMillis = TimeUnit.NANOSECONDS.toMillis(superblock.nanosToNextLook()) + 1;
                List<Fd> readable = Poll.awaitReadable(polled, (int) Math.min(waitMillis, Integer.MAX_VALUE));
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
            listen();
        }
        probeIfDue();
        superblock.look();
        afterEachLook.run();
        lastLookNanos = System.nanoTime();
    }

    /** What can't be heard is no reason not to look: the sentinel and the write probe find the same. */
    private void listen() {
        try {
            ErrorSignals.Said said = signals.read();
            if (!said.failures().isEmpty()) {
                superblock.writebackFailed(said.failures());
            }
            if (said.hasFileSystemError()) {
                superblock.suspect();
            }
            boolean isNothing = said.failures().isEmpty() && !said.hasFileSystemError();
            emptyReads = isNothing ? emptyReads + 1 : 0;
            if (emptyReads >= MOST_EMPTY_READS) {
                stopListening("readable " + emptyReads + " times with nothing to read");
            }
        } catch (SyscallException e) {
            stopListening(e.toString());
        }
    }

    /** Otherwise the watch would turn without end. */
    private void stopListening(String cause) {
        LOG.log(
                ERROR,
                "the kernel's signals are not listened to any more; the sentinel is asked at each interval",
                "device",
                superblock.device(),
                "cause",
                cause);
        polled.retainAll(List.of(woken.fd()));
        signals.close();
    }

    private void probeIfDue() {
        long now = System.nanoTime();
        if (now - lastProbeNanos
                >= TimeUnit.MILLISECONDS.toNanos(superblock.settings().probeIntervalMillis())) {
            lastProbeNanos = now;
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
