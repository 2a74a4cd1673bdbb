package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.metadata.Poison;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * Who is told of a poison, once it is recorded or known that it can't be. Any thread. Lines are logged by a thread of its own, and {@value
 * #LINES_LATER_MILLIS} ms later: those of many snapshots, poisoned at once, would keep waiting whoever asks for one of them just then.
 */
final class PoisonReports implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(PoisonReports.class.getName());

    /** Of lists of snapshots that were poisoned together; whoever finds no room logs himself. */
    private static final int MOST_WAITING = 64;

    private static final long LINES_LATER_MILLIS = 20;
    private static final long STOP_WAIT_MILLIS = 1_000;

    private final Metrics metrics;
    private final List<Poisoning.Listener> listeners = new CopyOnWriteArrayList<>();

    private final ThreadPoolExecutor log = new ThreadPoolExecutor(
            1,
            1,
            0,
            TimeUnit.SECONDS,
            new ArrayBlockingQueue<>(MOST_WAITING),
            Thread.ofPlatform().name("poison-log").daemon().factory(),
            (task, _) -> task.run());

    PoisonReports(Metrics metrics) {
        this.metrics = metrics;
        metrics.queueLength("poison_log", log.getQueue()::size);
        Stream.of(PoisonReason.values()).map(PoisonReason::word).forEach(metrics::announcePoison);
    }

    void addListener(Poisoning.Listener listener) {
        listeners.add(listener);
    }

    /** The listeners first: a container that runs on a damaged upper is to be killed, and a log line can wait. */
    void tell(List<Condemned> told) {
        told.forEach(condemned -> tellListeners(condemned.snapshot(), condemned.poison()));
        long dueNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(LINES_LATER_MILLIS);
        log.execute(() -> logLater(told, dueNanos));
        told.forEach(condemned -> metrics.poisoned(condemned.poison().reason()));
    }

    private static void logLater(List<Condemned> told, long dueNanos) {
        try {
            TimeUnit.NANOSECONDS.sleep(dueNanos - System.nanoTime());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        told.forEach(PoisonReports::log);
    }

    /** Tells the listeners again of what an earlier daemon has poisoned: it may have ended before they were done. */
    void remind(SnapshotRecord snapshot) {
        Poison poison = snapshot.poison();
        if (poison != null) {
            tellListeners(snapshot, poison);
        }
    }

    /** One that fails keeps nobody else from being told. */
    private void tellListeners(SnapshotRecord snapshot, Poison poison) {
        Poisoning poisoning = poisoning(snapshot, poison);
        for (Poisoning.Listener listener : listeners) {
            try {
                listener.poisoned(poisoning);
            } catch (RuntimeException e) {
                LOG.log(ERROR, "a listener failed at the poison of " + snapshot.key(), e);
            }
        }
    }

    private static void log(Condemned condemned) {
        Poison poison = condemned.poison();
        LOG.log(
                WARNING,
                "poisoned",
                "key",
                condemned.snapshot().key(),
                "id",
                condemned.snapshot().id(),
                "reason",
                poison.reason(),
                "device",
                poison.device(),
                "errno",
                poison.errno(),
                condemned.isRecorded() ? "recorded_at" : "not_recorded_at",
                condemned.at());
    }

    private static Poisoning poisoning(SnapshotRecord snapshot, Poison poison) {
        BackendKey key = BackendKey.parse(snapshot.key());
        long generation = snapshot.upper() == null ? 0 : snapshot.upper().generation();
        return new Poisoning(
                snapshot.key(),
                key.namespace(),
                key.clientKey(),
                poison.reason(),
                poison.device(),
                poison.errno(),
                poison.at(),
                generation);
    }

    /** Waits a bounded time for the lines that are still to be logged. */
    @Override
    public void close() {
        log.shutdown();
        try {
            if (!log.awaitTermination(STOP_WAIT_MILLIS, TimeUnit.MILLISECONDS)) {
                LOG.log(
                        WARNING,
                        "some of what was poisoned is not logged",
                        "lists",
                        log.getQueue().size());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
