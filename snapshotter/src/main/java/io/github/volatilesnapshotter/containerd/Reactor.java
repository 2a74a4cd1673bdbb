package io.github.volatilesnapshotter.containerd;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.metrics.Metrics.KillOutcome;
import io.github.volatilesnapshotter.snapshot.Poisoning;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.netty.channel.EventLoopGroup;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Acts on poison: kills the container whose snapshot it is, so that the runtime throws the upper away and starts again. One thread
 * takes the poisonings in order; {@link #poisoned} only queues them, and drops and counts what does not fit.
 *
 * <p>While containerd is away a kill is repeated, ever more slowly, until the configured time has passed. A container without a
 * running task needs no kill: the snapshot is refused to whoever starts it.
 */
public final class Reactor implements Poisoning.Listener {
    /** One failing disk poisons every container on it at once. */
    static final int QUEUE_LENGTH = 10_000;

    private static final long FIRST_PAUSE_MILLIS = 20;
    private static final long LONGEST_PAUSE_MILLIS = 2_000;
    private static final long STOP_SECONDS = 2;
    private static final Logger LOG = System.getLogger(Reactor.class.getName());

    private final BlockingQueue<Poisoning> queue;
    private final @Nullable Tasks tasks;
    private final long retryTimeoutMillis;
    private final Metrics metrics;
    private final Thread thread;

    private Reactor(@Nullable Tasks tasks, long retryTimeoutMillis, Metrics metrics, int queueLength) {
        this.tasks = tasks;
        this.retryTimeoutMillis = retryTimeoutMillis;
        this.metrics = metrics;
        this.queue = new ArrayBlockingQueue<>(queueLength);
        this.thread = new Thread(this::run, "poison-reactor");
        this.thread.setDaemon(true);
        metrics.queueLength("reactor", queue::size);
    }

    /** Starts the thread. It kills only in mode {@code kill} and with containerd's address; else it logs and counts. */
    public static Reactor start(
            Config.Containerd containerd, Config.Poison poison, EventLoopGroup eventLoops, Metrics metrics) {
        return start(containerd, poison, eventLoops, metrics, QUEUE_LENGTH);
    }

    static Reactor start(
            Config.Containerd containerd,
            Config.Poison poison,
            EventLoopGroup eventLoops,
            Metrics metrics,
            int queueLength) {
        Tasks tasks = switch (poison.mode()) {
            case REPORT -> null;
            case KILL ->
                containerd
                        .address()
                        .map(socket -> new Tasks(socket, containerd.callTimeoutMillis(), eventLoops))
                        .orElse(null);
        };
        Reactor reactor = new Reactor(tasks, containerd.retryTimeoutMillis(), metrics, queueLength);
        reactor.thread.start();
        return reactor;
    }

    /** Returns at once. */
    @Override
    public void poisoned(Poisoning poisoning) {
        if (!queue.offer(poisoning)) {
            settled(KillOutcome.DROPPED, poisoning, "the reactor's queue is full");
        }
    }

    /** Ends the thread, whatever it waits for; what is still queued is dropped and counted. */
    public void stop() throws InterruptedException {
        thread.interrupt();
        thread.join(TimeUnit.SECONDS.toMillis(STOP_SECONDS));
        for (Poisoning left = queue.poll(); left != null; left = queue.poll()) {
            settled(KillOutcome.DROPPED, left, "the daemon is stopping");
        }
        if (tasks != null) {
            tasks.close();
        }
    }

    private void run() {
        try {
            while (!Thread.currentThread().isInterrupted()) {
                react(queue.take());
            }
        } catch (InterruptedException e) {
            LOG.log(Level.DEBUG, "the reactor stops");
        }
    }

    @SuppressWarnings("CatchingUnchecked") // one poisoning that cannot be handled must not end the thread
    private void react(Poisoning poisoning) throws InterruptedException {
        if (tasks == null) {
            settled(KillOutcome.ONLY_REPORTED, poisoning, "mode report, or no containerd address");
            return;
        }
        try {
            kill(tasks, poisoning);
        } catch (RuntimeException e) {
            settled(KillOutcome.FAILED, poisoning, e);
        }
    }

    private void kill(Tasks tasks, Poisoning poisoning) throws InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(retryTimeoutMillis);
        long pauseMillis = FIRST_PAUSE_MILLIS;
        while (true) {
            Status status = tryKill(tasks, poisoning);
            switch (status.getCode()) {
                case OK -> {
                    settled(KillOutcome.SENT, poisoning, "");
                    return;
                }
                case NOT_FOUND -> {
                    settled(KillOutcome.NOTHING_RUNS, poisoning, status.getDescription());
                    return;
                }
                case UNAVAILABLE, DEADLINE_EXCEEDED -> {
                    if (deadline - System.nanoTime() <= TimeUnit.MILLISECONDS.toNanos(pauseMillis)) {
                        settled(KillOutcome.FAILED, poisoning, status);
                        return;
                    }
                    Thread.sleep(pauseMillis);
                    pauseMillis = Math.min(2 * pauseMillis, LONGEST_PAUSE_MILLIS);
                    tasks.forgetBackoff();
                }
                default -> {
                    settled(KillOutcome.FAILED, poisoning, status);
                    return;
                }
            }
        }
    }

    private static Status tryKill(Tasks tasks, Poisoning poisoning) throws InterruptedException {
        try {
            tasks.killAll(poisoning.namespace(), poisoning.clientKey());
            return Status.OK;
        } catch (StatusRuntimeException e) {
            if (Thread.interrupted()) {
                throw new InterruptedException("stopped while containerd was called");
            }
            return e.getStatus();
        }
    }

    private void settled(KillOutcome outcome, Poisoning poisoning, @Nullable Object reason) {
        metrics.kill(outcome);
        Level level = switch (outcome) {
            case SENT, NOTHING_RUNS, ONLY_REPORTED -> Level.INFO;
            case FAILED, DROPPED -> Level.ERROR;
        };
        LOG.log(
                level,
                "poisoned snapshot's container",
                "outcome",
                outcome,
                "reason",
                reason,
                "key",
                poisoning.key(),
                "namespace",
                poisoning.namespace(),
                "container",
                poisoning.clientKey(),
                "poison",
                poisoning.reason(),
                "device",
                poisoning.device());
    }
}
