package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.WARNING;

import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * Looks at a superblock, on a thread of its own: at a steady pace, and at once when something says that there is something to see.
 * Nothing that this thread does waits for the watched disk.
 */
public final class Watch implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Watch.class.getName());

    private static final long STOP_WAIT_MILLIS = 1_000;

    private final WatchedSuperblock superblock;
    private final Runnable afterEachLook;
    private final Thread thread;
    private final Semaphore woken = new Semaphore(0);

    private volatile boolean isClosed;
    private volatile long lastLookNanos = System.nanoTime();
    private long lastProbeNanos = System.nanoTime();

    /** @param afterEachLook called on the watch's thread */
    public Watch(WatchedSuperblock superblock, Runnable afterEachLook) {
        this.superblock = superblock;
        this.afterEachLook = afterEachLook;
        this.thread = Thread.ofPlatform()
                .name("superblock-watch-" + superblock.device())
                .daemon()
                .unstarted(this::loop);
        superblock.setWake(woken::release);
    }

    public void start() {
        thread.start();
    }

    /** How long ago the last look ended: well above the interval means that the watch does not work. */
    public long nanosSinceLastLook() {
        return System.nanoTime() - lastLookNanos;
    }

    @SuppressWarnings("CatchingUnchecked") // a watch that ended would be the worst that can happen
    private void loop() {
        while (!isClosed) {
            try {
                var _ = woken.tryAcquire(superblock.nanosToNextLook(), TimeUnit.NANOSECONDS);
                woken.drainPermits();
                look();
            } catch (InterruptedException e) {
                return;
            } catch (RuntimeException | Error e) {
                LOG.log(ERROR, "looking at superblock " + superblock.device() + " failed", e);
            }
        }
    }

    private void look() {
        long now = System.nanoTime();
        if (now - lastProbeNanos
                >= TimeUnit.MILLISECONDS.toNanos(superblock.settings().probeIntervalMillis())) {
            lastProbeNanos = now;
            superblock.suspect();
        }
        superblock.look();
        afterEachLook.run();
        lastLookNanos = System.nanoTime();
    }

    /** Stops looking; waits a bounded time for a look that is under way. */
    @Override
    public void close() {
        isClosed = true;
        woken.release();
        try {
            if (!thread.join(java.time.Duration.ofMillis(STOP_WAIT_MILLIS))) {
                LOG.log(WARNING, "a look is left behind", "device", superblock.device());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
