package io.github.volatilesnapshotter.containerd;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.metrics.Metrics.KillOutcome;
import io.github.volatilesnapshotter.snapshot.Labels;
import io.github.volatilesnapshotter.snapshot.Poisoning;
import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.github.volatilesnapshotter.snapshot.Snapshotter;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.netty.channel.EventLoopGroup;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Acts on poison: kills the container whose snapshot it is, so that the runtime throws the upper away and starts again. A few
 * threads take the poisonings in order; {@link #poisoned} only queues them, and drops and counts what does not fit.
 *
 * <p>A kill that fails is repeated for as long as the poison stands, after pauses that grow up to a bound: until it is sent, containerd
 * knows no such task, or the snapshot was removed. Repeats have threads of their own, so that a shim that hangs holds up the first
 * kill of no other container for longer than one call. A container without a running task needs no kill, because the snapshot is refused
 * to whoever starts it; but for ten seconds after the poison it is asked again, for one that had its mounts before.
 */
public final class Reactor implements Poisoning.Listener {
    /** Of first tries, and of kills that are repeated. One failing disk poisons every container on it at once. */
    static final int QUEUE_LENGTH = 10_000;

    /** First tries, and repeats as many again. A shim that hangs holds one of these up until its call's deadline. */
    static final int KILLS_AT_ONCE = 8;

    private static final long IDLE_SECONDS = 10;
    private static final long FIRST_PAUSE_MILLIS = 20;
    private static final long STOP_SECONDS = 2;

    /** From the answer of Mounts to the task: a runtime mounts, makes the bundle and starts a shim. */
    private static final Duration TIME_TO_START = Duration.ofSeconds(10);

    private static final String STOPPING = "the daemon is stopping";
    private static final Logger LOG = System.getLogger(Reactor.class.getName());

    private final @Nullable Tasks tasks;
    private final long longestPauseMillis;
    private final Metrics metrics;
    private final int queueLength;
    private final ThreadPoolExecutor firstTries;
    private final ScheduledThreadPoolExecutor repeats;

    /** Those whose first try failed, until they are settled. */
    private final Set<Reaction> repeated = ConcurrentHashMap.newKeySet();

    private volatile @Nullable Snapshotter snapshotter;

    private Reactor(@Nullable Tasks tasks, long longestPauseMillis, Metrics metrics, int queueLength) {
        this.tasks = tasks;
        this.longestPauseMillis = longestPauseMillis;
        this.metrics = metrics;
        this.queueLength = queueLength;
        this.firstTries = new ThreadPoolExecutor(
                KILLS_AT_ONCE,
                KILLS_AT_ONCE,
                IDLE_SECONDS,
                TimeUnit.SECONDS,
                new ArrayBlockingQueue<>(queueLength),
                threads("poison-reactor-"));
        firstTries.allowCoreThreadTimeOut(true);
        // Its threads begin with the first failure and then stay: with fewer, those that are due would wait for each
        // other.
        this.repeats = new ScheduledThreadPoolExecutor(KILLS_AT_ONCE, threads("poison-repeat-"));
        metrics.queueLength("reactor", firstTries.getQueue()::size);
        metrics.queueLength("reactor_repeats", repeated::size);
    }

    private static ThreadFactory threads(String name) {
        return Thread.ofPlatform().name(name, 0).daemon().factory();
    }

    /** Starts the reactor. It kills only in mode {@code kill} and with containerd's address; else it logs and counts. */
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
        return new Reactor(tasks, containerd.retryPauseMillis(), metrics, queueLength);
    }

    /** From now on a kill is repeated only while this snapshotter has the poisoned snapshot; before, all poison stands. */
    public void repeatWhilePoisonedIn(Snapshotter owner) {
        snapshotter = owner;
    }

    /** Returns at once. */
    @Override
    public void poisoned(Poisoning poisoning) {
        Reaction reaction = new Reaction(poisoning);
        try {
            firstTries.execute(reaction);
        } catch (RejectedExecutionException e) {
            reaction.settle(KillOutcome.DROPPED, "the reactor's queue is full, or it is stopping");
        }
    }

    /**
     * Ends the threads, whatever they wait for; what is still to be killed is dropped and counted: the next daemon hears of it again.
     */
    public void stop() throws InterruptedException {
        for (Runnable left : firstTries.shutdownNow()) {
            ((Reaction) left).settle(KillOutcome.DROPPED, STOPPING);
        }
        repeats.shutdownNow();
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(STOP_SECONDS);
        boolean ended = firstTries.awaitTermination(STOP_SECONDS, TimeUnit.SECONDS)
                && repeats.awaitTermination(deadline - System.nanoTime(), TimeUnit.NANOSECONDS);
        if (!ended) {
            LOG.log(Level.WARNING, "the reactor did not stop in time", "seconds", STOP_SECONDS);
        }
        for (Reaction left : List.copyOf(repeated)) {
            left.settle(KillOutcome.DROPPED, STOPPING);
        }
        if (tasks != null) {
            tasks.close();
        }
    }

    /** What is done about one poisoned snapshot: one try at a time, on one thread at a time. */
    private final class Reaction implements Runnable {
        private final Poisoning poisoning;
        private int failures;
        private boolean isRepeated;
        private long pauseMillis = Math.min(FIRST_PAUSE_MILLIS, longestPauseMillis);
        private Status.Code lastFailure = Status.Code.OK;

        Reaction(Poisoning poisoning) {
            this.poisoning = poisoning;
        }

        @Override
        @SuppressWarnings("CatchingUnchecked") // whatever it was, the kill is repeated
        public void run() {
            if (tasks == null) {
                settle(KillOutcome.ONLY_REPORTED, "mode report, or no containerd address");
                return;
            }
            try {
                kill(tasks);
            } catch (InterruptedException e) {
                settle(KillOutcome.DROPPED, STOPPING);
            } catch (RuntimeException e) {
                repeatAfter(Status.fromThrowable(e));
            }
        }

        private void kill(Tasks containerd) throws InterruptedException {
            if (isRepeated) {
                if (!stands(poisoning)) {
                    settle(KillOutcome.SNAPSHOT_REMOVED, "");
                    return;
                }
                containerd.forgetBackoff();
            }
            Status status = tryKill(containerd, poisoning);
            switch (status.getCode()) {
                case OK -> settle(KillOutcome.SENT, "");
                case NOT_FOUND -> {
                    if (mayStillStart() && keep(this)) {
                        repeat();
                    } else {
                        settle(KillOutcome.NOTHING_RUNS, status.getDescription());
                    }
                }
                default -> repeatAfter(status);
            }
        }

        private void repeatAfter(Status failure) {
            failures++;
            metrics.kill(KillOutcome.FAILED);
            boolean isNews = failure.getCode() != lastFailure;
            lastFailure = failure.getCode();
            log(isNews ? Level.WARNING : Level.DEBUG, KillOutcome.FAILED, failure);
            if (!keep(this)) {
                settle(KillOutcome.DROPPED, "too many kills are repeated");
                return;
            }
            repeat();
        }

        /** A container whose mounts were answered before the poison has no task yet, and no other Mounts to be refused. */
        private boolean mayStillStart() {
            return Instant.now().isBefore(poisoning.at().plus(TIME_TO_START));
        }

        private void repeat() {
            isRepeated = true;
            long pause = pauseMillis;
            pauseMillis = Math.min(2 * pauseMillis, longestPauseMillis);
            try {
                Future<?> _ = repeats.schedule(this, pause, TimeUnit.MILLISECONDS);
            } catch (RejectedExecutionException e) {
                settle(KillOutcome.DROPPED, STOPPING);
            }
        }

        /** The last thing that is done about it. */
        void settle(KillOutcome outcome, @Nullable Object reason) {
            repeated.remove(this);
            metrics.kill(outcome);
            log(outcome == KillOutcome.DROPPED ? Level.ERROR : Level.INFO, outcome, reason);
        }

        private void log(Level level, KillOutcome outcome, @Nullable Object reason) {
            LOG.log(
                    level,
                    "poisoned snapshot's container",
                    "outcome",
                    outcome,
                    "reason",
                    reason,
                    "failures",
                    failures,
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

    /** Whether there is room for one more that is repeated, or it is one of them. */
    private boolean keep(Reaction reaction) {
        synchronized (repeated) {
            if (repeated.size() < queueLength) {
                repeated.add(reaction);
            }
            return repeated.contains(reaction);
        }
    }

    /** Whether the snapshot is still there, poisoned at that time: a runtime may use its key anew. */
    private boolean stands(Poisoning poisoning) {
        Snapshotter owner = snapshotter;
        if (owner == null) {
            return true;
        }
        try {
            String poisonedAt = owner.stat(poisoning.key()).labels().get(Labels.POISONED_AT);
            return poisoning.at().toString().equals(poisonedAt);
        } catch (SnapshotException e) {
            return e.category() != SnapshotException.Category.NOT_FOUND;
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
}
