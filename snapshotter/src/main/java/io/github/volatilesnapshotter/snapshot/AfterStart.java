package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.IoPriority;
import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * What belongs to a recovery and can wait until requests are served: a look into each layer, and the report; and then, for as long as the
 * daemon runs, a look from time to time whether what the daemon has left in others' reach is still there. On a thread of its own, which no
 * request waits for.
 */
final class AfterStart implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(AfterStart.class.getName());

    private static final Duration STOP_WAIT = Duration.ofSeconds(2);

    /** Writes the report. */
    @FunctionalInterface
    interface Report {
        void write() throws IOException;
    }

    /** Looks whether something is still there. */
    @FunctionalInterface
    interface Look {
        void again() throws IOException, MetadataException;
    }

    private final LayerCheck layerCheck;
    private final Report report;
    private final List<Look> looks;
    private final BooleanSupplier mayLook;
    private final long lookAgainMillis;
    private final CountDownLatch closed = new CountDownLatch(1);

    /** The thread's. */
    private boolean isLookFailing;

    /** The thread's. */
    private boolean isReportFailing;

    private final Thread thread =
            Thread.ofPlatform().name("recovery-after-start").daemon().unstarted(this::run);

    /**
     * Nothing is done before {@link #start}.
     *
     * @param looks what is done again and again
     * @param mayLook asked before each later look; a disk that hangs would hold the thread
     * @param lookAgainMillis the time between two of them
     */
    AfterStart(LayerCheck layerCheck, Report report, List<Look> looks, BooleanSupplier mayLook, long lookAgainMillis) {
        this.layerCheck = layerCheck;
        this.report = report;
        this.looks = looks;
        this.mayLook = mayLook;
        this.lookAgainMillis = lookAgainMillis;
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
        // Now, in case that this daemon does not live long enough for all the layers.
        writeReport();
        lookIntoLayers();
        writeReport();
        try {
            while (!closed.await(lookAgainMillis, TimeUnit.MILLISECONDS)) {
                lookAgain();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** A filesystem that is full has no room for a report, and layers that are to be told of all the same. */
    private void writeReport() {
        try {
            report.write();
            isReportFailing = false;
        } catch (IOException | RuntimeException e) {
            LOG.log(isReportFailing ? DEBUG : WARNING, "the report of the recovery can't be written", e);
            isReportFailing = true;
        }
    }

    private void lookIntoLayers() {
        try {
            layerCheck.run(() -> closed.getCount() == 0);
        } catch (RuntimeException e) {
            LOG.log(WARNING, "the look into each layer has ended early", e);
        }
    }

    private void lookAgain() {
        if (!mayLook.getAsBoolean()) {
            return;
        }
        boolean isFailing = false;
        for (Look look : looks) {
            try {
                look.again();
            } catch (IOException | MetadataException | RuntimeException e) {
                LOG.log(isLookFailing ? DEBUG : WARNING, "can't look whether all is still there", e);
                isFailing = true;
            }
        }
        isLookFailing = isFailing;
    }

    /** Ends after the layer that it is at, and writes the report of what is known; waits a bounded time for that. */
    @Override
    public void close() {
        closed.countDown();
        try {
            if (thread.isAlive() && !thread.join(STOP_WAIT)) {
                LOG.log(WARNING, "the report of the recovery is left behind");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
