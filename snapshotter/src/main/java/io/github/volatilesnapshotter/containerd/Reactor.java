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
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Acts on poison: kills the container whose snapshot it is, so that the runtime throws the upper away and starts again. A few
 * threads take the poisonings in order; {@link #poisoned} only queues them, and drops and counts what does not fit.
 *
 * <p>While containerd is away a kill is repeated, ever more slowly, until the configured time has passed. A container without a
 * running task needs no kill: the snapshot is refused to whoever starts it.
 */
public final class Reactor implements Poisoning.Listener {
    /** One failing disk poisons every container on it at once. */
    static final int QUEUE_LENGTH = 10_000;

    /** A shim that hangs holds one of these up until its kill is given up, and not the kills of its neighbours. */
    static final int KILLS_AT_ONCE = 8;

    private static final long IDLE_SECONDS = 10;
    private static final long FIRST_PAUSE_MILLIS = 20;
    private static final long LONGEST_PAUSE_MILLIS = 2_000;
    private static final long STOP_SECONDS = 2;
    private static final Logger LOG = System.getLogger(Reactor.class.getName());

    private final @Nullable Tasks tasks;
    private final long retryTimeoutMillis;
    private final Metrics metrics;
    private final ThreadPoolExecutor threads;

    private Reactor(@Nullable Tasks tasks, long retryTimeoutMillis, Metrics metrics, int queueLength) {
        this.tasks = tasks;
        this.retryTimeoutMillis = retryTimeoutMillis;
        this.metrics = metrics;
        this.threads = new ThreadPoolExecutor(
                KILLS_AT_ONCE,
                KILLS_AT_ONCE,
                IDLE_SECONDS,
                TimeUnit.SECONDS,
                new ArrayBlockingQueue<>(queueLength),
                Thread.ofPlatform().name("poison-reactor-", 0).daemon().factory());
        threads.allowCoreThreadTimeOut(true);
        metrics.queueLength("reactor", threads.getQueue()::size);
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
        return new Reactor(tasks, containerd.retryTimeoutMillis(), metrics, queueLength);
    }

    /** Returns at once. */
    @Override
    public void poisoned(Poisoning poisoning) {
        try {
            threads.execute(new Reaction(poisoning));
        } catch (RejectedExecutionException e) {
            settled(KillOutcome.DROPPED, poisoning, "the reactor's queue is full, or it is stopping");
        }
    }

    /** Ends the threads, whatever they wait for; what is still queued is dropped and counted: the next daemon hears of it again. */
    public void stop() throws InterruptedException {
        for (Runnable left : threads.shutdownNow()) {
            settled(KillOutcome.DROPPED, ((Reaction) left).poisoning, "the daemon is stopping");
        }
        if (!threads.awaitTermination(STOP_SECONDS, TimeUnit.SECONDS)) {
            LOG.log(Level.WARNING, "the reactor did not stop in time", "seconds", STOP_SECONDS);
        }
        if (tasks != null) {
            tasks.close();
        }
    }

    /** What is done about one poisoned snapshot. */
    private final class Reaction implements Runnable {
        private final Poisoning poisoning;

        Reaction(Poisoning poisoning) {
            this.poisoning = poisoning;
        }

        @Override
        public void run() {
            try {
                react(poisoning);
            } catch (InterruptedException e) {
                settled(KillOutcome.DROPPED, poisoning, "the daemon is stopping");
            }
        }
    }

    @SuppressWarnings("CatchingUnchecked") // one poisoning that cannot be handled is logged and counted
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
