package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.IoPriority;
import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.io.IOException;
import java.time.Duration;

/** What belongs to a recovery and can wait until requests are served: a look into each layer, and the report. On a thread of its own. */
final class AfterStart implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(AfterStart.class.getName());

    private static final Duration STOP_WAIT = Duration.ofSeconds(2);

    /** Writes the report. */
    @FunctionalInterface
    interface Report {
        void write() throws IOException;
    }

    private final LayerCheck layerCheck;
    private final Report report;
    private final Thread thread =
            Thread.ofPlatform().name("recovery-after-start").daemon().unstarted(this::run);

    private volatile boolean isClosed;

    AfterStart(LayerCheck layerCheck, Report report) {
        this.layerCheck = layerCheck;
        this.report = report;
    }

    void start() {
        thread.start();
    }

    private void run() {
        try {
            Niceness.yieldToOthers();
            IoPriority.yieldToOthers();
        } catch (SyscallException e) {
            LOG.log(WARNING, "the priority of what follows a start can't be set", e);
        }
        try {
            layerCheck.run(() -> isClosed);
            report.write();
        } catch (IOException | RuntimeException e) {
            LOG.log(WARNING, "the report of the recovery can't be written", e);
        }
    }

    /** Ends after the layer that it is at, and writes the report of what is known; waits a bounded time for that. */
    @Override
    public void close() {
        isClosed = true;
        try {
            if (thread.isAlive() && !thread.join(STOP_WAIT)) {
                LOG.log(WARNING, "the report of the recovery is left behind");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
