package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.ERROR;

import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

/**
 * Looks at a superblock at a steady pace, on a thread of its own: first the sentinel, then every overlay on it. A look that takes
 * longer than the interval delays the next one; they never pile up.
 */
public final class Watch implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Watch.class.getName());

    private static final long STOP_WAIT_MILLIS = 1_000;

    private final WatchedSuperblock superblock;
    private final Runnable lookAtOverlays;
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().name("superblock-watch").daemon().factory());

    /** @param lookAtOverlays asks each overlay on the superblock; called on the watch's thread */
    public Watch(WatchedSuperblock superblock, Runnable lookAtOverlays) {
        this.superblock = superblock;
        this.lookAtOverlays = lookAtOverlays;
    }

    public void start(long intervalMillis) {
        var _ = thread.scheduleWithFixedDelay(this::look, intervalMillis, intervalMillis, TimeUnit.MILLISECONDS);
    }

    private void look() {
        try {
            superblock.check();
            lookAtOverlays.run();
        } catch (RuntimeException e) {
            // A scheduled task that throws is never run again: nobody would watch any more.
            LOG.log(ERROR, "looking at superblock " + superblock.device() + " failed", e);
        }
    }

    /** Stops looking; waits a bounded time for a look that is under way. */
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
