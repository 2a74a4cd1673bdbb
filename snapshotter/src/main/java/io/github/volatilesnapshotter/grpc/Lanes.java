package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.metrics.Metrics;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * The threads that handlers run on: platform threads, because a virtual thread is held by a native call all the same. The event
 * loop never runs a handler. A lane whose queue is full refuses, and counts it.
 */
final class Lanes {
    private static final int READ_THREADS = 2;
    private static final int COMMIT_THREADS = 4;
    private static final int DISK_THREADS = 2;
    private static final long IDLE_SECONDS = 60;

    private final Map<Lane, ThreadPoolExecutor> executors = new EnumMap<>(Lane.class);
    private final Metrics metrics;

    /**
     * @param changeThreads threads of {@link Lane#CHANGE}
     * @param queueLength calls that may wait in each lane
     */
    Lanes(int changeThreads, int queueLength, ThreadPriority priority, Metrics metrics) {
        this.metrics = metrics;
        for (Lane lane : Lane.values()) {
            int threads = switch (lane) {
                case READ -> READ_THREADS;
                case CHANGE -> changeThreads;
                case COMMIT -> COMMIT_THREADS;
                case DISK -> DISK_THREADS;
            };
            ThreadPoolExecutor executor = executor(lane, threads, queueLength, priority);
            executors.put(lane, executor);
            metrics.announceRejections(lane.word());
            metrics.queueLength("rpc-" + lane.word(), () -> executor.getQueue().size());
        }
    }

    /**
     * Runs the task on a thread of the lane.
     *
     * @throws RejectedExecutionException if the lane's queue is full or the lanes were stopped; the task will not run
     */
    void execute(Lane lane, Runnable task) {
        try {
            executor(lane).execute(task);
        } catch (RejectedExecutionException e) {
            metrics.callRejected(lane.word());
            throw e;
        }
    }

    /** Takes back a task that waits; false if it has begun, or ended. It is the very object that {@link #execute} got. */
    boolean withdraw(Lane lane, Runnable task) {
        return executor(lane).remove(task);
    }

    /** Takes no more tasks; returns when the accepted ones have run, or false after the time. */
    boolean stop(long timeoutMillis) throws InterruptedException {
        executors.values().forEach(ThreadPoolExecutor::shutdown);
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(timeoutMillis);
        boolean finished = true;
        for (ThreadPoolExecutor executor : executors.values()) {
            finished &= executor.awaitTermination(Math.max(0, deadline - System.nanoTime()), TimeUnit.NANOSECONDS);
        }
        return finished;
    }

    private ThreadPoolExecutor executor(Lane lane) {
        ThreadPoolExecutor executor = executors.get(lane);
        if (executor == null) {
            throw new IllegalStateException("no executor for lane " + lane);
        }
        return executor;
    }

    private static ThreadPoolExecutor executor(Lane lane, int threads, int queueLength, ThreadPriority priority) {
        AtomicInteger number = new AtomicInteger();
        ThreadPoolExecutor executor = new ThreadPoolExecutor(
                threads, threads, IDLE_SECONDS, TimeUnit.SECONDS, new ArrayBlockingQueue<>(queueLength), task -> {
                    Thread thread = new Thread(
                            () -> priority.run(lane == Lane.READ, task),
                            "rpc-" + lane.word() + "-" + number.incrementAndGet());
                    thread.setDaemon(true);
                    return thread;
                });
        executor.allowCoreThreadTimeOut(true);
        return executor;
    }
}
