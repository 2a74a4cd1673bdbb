package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Has failed writebacks named, on a thread of its own: finding a name may read from the disk that fails, and nothing else shall wait for
 * that. It begins {@value #LATER_MILLIS} ms after the first of them: finding names takes some milliseconds of a processor, which what the error
 * has damaged needs more. Thread-safe.
 */
final class FailureNames implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(FailureNames.class.getName());

    /** Kept while names are being found; more are dropped: names are for people, who read sixteen. */
    private static final int MOST_WAITING = 256;

    private static final long LATER_MILLIS = 20;
    private static final long STOP_WAIT_MILLIS = 1_000;

    private final Consumer<List<FailedWriteback>> name;
    private final Metrics metrics;
    private final ThreadPoolExecutor thread;
    private final List<FailedWriteback> waiting = new ArrayList<>();

    /** @param name called with what has come together since its last call */
    FailureNames(Device device, Consumer<List<FailedWriteback>> name, Metrics metrics) {
        this.name = name;
        this.metrics = metrics;
        this.thread = new ThreadPoolExecutor(
                1,
                1,
                0,
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(1),
                Thread.ofPlatform().name("superblock-names-" + device).daemon().factory(),
                // One waits already, and will find all that is waiting.
                new ThreadPoolExecutor.DiscardPolicy());
        // Not by the watch, whose priority it would inherit.
        thread.prestartCoreThread();
        metrics.queueLength("failure_names", this::length);
    }

    private synchronized int length() {
        return waiting.size();
    }

    /** Returns at once. */
    synchronized void add(List<FailedWriteback> failures) {
        int kept = Math.min(failures.size(), MOST_WAITING - waiting.size());
        waiting.addAll(failures.subList(0, kept));
        metrics.writebacksUnnamed(failures.size() - kept);
        thread.execute(this::nameWaiting);
    }

    private synchronized List<FailedWriteback> takeWaiting() {
        List<FailedWriteback> taken = List.copyOf(waiting);
        waiting.clear();
        return taken;
    }

    private void nameWaiting() {
        try {
            TimeUnit.MILLISECONDS.sleep(LATER_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        List<FailedWriteback> failures = takeWaiting();
        if (failures.isEmpty()) {
            return;
        }
        try {
            name.accept(failures);
        } catch (RuntimeException e) {
            LOG.log(WARNING, "failed writebacks can't be named", "failure", e);
        }
    }

    @Override
    public void close() {
        thread.shutdown();
        try {
            if (!thread.awaitTermination(STOP_WAIT_MILLIS, TimeUnit.MILLISECONDS)) {
                LOG.log(WARNING, "a search for names is left behind");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
