package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.grpc.Contexts;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Consumer;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Carries each call from the event loop to its lane, and its outcome to the client, the metrics and the log.
 *
 * <p>Every call with one answer is answered within a bound, also while the thread that is at it, or all those that it waits for, are
 * held by a disk: {@link #answerOverdue} looks for those that are over it, and {@link #diskIs} answers all that need the disk as soon
 * as it is known to hang. A thread that is held stays held, and is counted. No more calls are kept than the lanes have threads and
 * places in their queues.
 */
final class Calls {
    /** @param answers whether what waits for the disk can be expected to end */
    private record Disk(String condition, boolean answers) {}

    private static final Logger LOG = System.getLogger(Calls.class.getName());

    private final Lanes lanes;
    private final CallBounds bounds;
    private final Metrics metrics;

    /** Those that wait for a thread or have one, whether they were answered or not. */
    private final Set<UnaryCall<?>> open = ConcurrentHashMap.newKeySet();

    private volatile Disk disk = new Disk("the disk is not known to hang", true);

    Calls(Lanes lanes, CallBounds bounds, Metrics metrics) {
        this.lanes = lanes;
        this.bounds = bounds;
        this.metrics = metrics;
        for (Rpc rpc : Rpc.values()) {
            metrics.announceFailures(rpc.method);
            metrics.announceAbandoned(rpc.method);
        }
        for (Lane lane : Lane.values()) {
            metrics.heldThreads(lane.word(), () -> heldThreads(lane));
        }
    }

    /** Threads of the lane that are at a call which was answered. */
    private long heldThreads(Lane lane) {
        return open.stream()
                .filter(call -> call.isAnswered() && call.lane() == lane)
                .count();
    }

    /**
     * Runs the work on the method's lane and answers with its result or its failure, or within the bound without it. A call that was
     * cancelled or answered while it waited does nothing.
     *
     * @param key what the log and an unexpected failure's message name
     */
    <T> void unary(Rpc rpc, String key, StreamObserver<T> observer, UnaryCall.Work<T> work) {
        unary(rpc, key, observer, null, work);
    }

    /** As {@link #unary(Rpc, String, StreamObserver, UnaryCall.Work)}, but first looks for the result in the records, on their lane. */
    <T> void unary(
            Rpc rpc,
            String key,
            StreamObserver<T> observer,
            UnaryCall.@Nullable Records<T> records,
            UnaryCall.Work<T> work) {
        ServerCallStreamObserver<T> call = (ServerCallStreamObserver<T>) observer;
        ignoreAnswersAfterCancellation(call);
        begin(new UnaryCall<>(rpc, key, call, records, work, this));
    }

    /** Puts the call on its lane. */
    void begin(UnaryCall<?> call) {
        // First among the open ones, then a look at the disk: whichever comes second, the call or the news of a disk
        // that
        // hangs, finds the other.
        open.add(call);
        Disk now = disk;
        if (call.lane().needsDisk && !now.answers()) {
            open.remove(call);
            var _ = call.answerEarly(
                    Status.UNAVAILABLE.withDescription(call.rpc.method + " " + call.key + ": " + now.condition()));
            return;
        }
        onLane(call.rpc, call.lane(), call, refusal -> {
            open.remove(call);
            var _ = call.answerEarly(refusal);
        });
    }

    /** Runs the task on the lane; where it is full, gives the refusal to the caller on this thread. */
    void onLane(Rpc rpc, Lane lane, Runnable task, Consumer<Status> refused) {
        try {
            lanes.execute(lane, task);
        } catch (RejectedExecutionException e) {
            refused.accept(Status.UNAVAILABLE
                    .withDescription(rpc.method + ": too many calls wait, or the snapshotter is stopping; try again")
                    .withCause(e));
        }
    }

    /**
     * How the disk is. One that does not answer ends every call that needs it, those that run, those that wait and those that are
     * still to come, until it is told to answer again.
     *
     * @param condition for people, with the device
     */
    void diskIs(String condition, boolean answers) {
        Disk before = disk;
        disk = new Disk(condition, answers);
        if (!answers) {
            int count = answer(call -> call.lane().needsDisk);
            if (before.answers() || count > 0) {
                LOG.log(Level.WARNING, "calls answered before they were done", "calls", count, "reason", condition);
            }
        }
    }

    /** Answers what has taken longer than its bound, and takes out of the queues what nobody waits for any more. */
    void answerOverdue() {
        var _ = answer(call -> call.isCancelled() || call.millisSinceArrival() >= bounds.millisOf(call.rpc));
    }

    private int answer(Predicate<UnaryCall<?>> which) {
        int answered = 0;
        for (UnaryCall<?> call : open) {
            if (!call.isAnswered() && which.test(call) && answerEarly(call)) {
                answered++;
            }
        }
        return answered;
    }

    private boolean answerEarly(UnaryCall<?> call) {
        boolean isHeld = call.isRunning();
        Status status = earlyAnswer(call, isHeld);
        if (!call.answerEarly(status)) {
            return false;
        }
        metrics.callAbandoned(call.rpc.method);
        if (lanes.withdraw(call.lane(), call)) {
            open.remove(call);
        }
        LOG.log(
                isHeld && !call.isCancelled() ? Level.WARNING : Level.DEBUG,
                "call answered before it was done",
                "method",
                call.rpc.method,
                "key",
                call.key,
                "answer",
                Objects.requireNonNullElse(status.getDescription(), ""));
        return true;
    }

    private Status earlyAnswer(UnaryCall<?> call, boolean isHeld) {
        String description = call.rpc.method + " " + call.key + (isHeld ? ": not done after " : ": not begun after ")
                + call.millisSinceArrival() + " ms (" + disk.condition() + ")"
                + (isHeld ? "; it may still be done" : "; it will not be done");
        Status status = call.isCancelled() ? Contexts.statusFromCancelled(call.context()) : Status.UNAVAILABLE;
        return status.withDescription(description);
    }

    /** No thread is at the call any more, and it waits for none. */
    void ended(UnaryCall<?> call) {
        open.remove(call);
    }

    /** The client was told something else, and will ask again. */
    void endedLate(UnaryCall<?> call, Status status) {
        LOG.log(
                Level.WARNING,
                "call ended after it was answered",
                "method",
                call.rpc.method,
                "key",
                call.key,
                "outcome",
                status.getCode(),
                "description",
                Objects.requireNonNullElse(status.getDescription(), ""),
                "millis",
                call.millisSinceArrival());
    }

    /** The status for a failure; one that nobody foresaw is logged with its stack trace and counted. */
    Status failed(Rpc rpc, String key, Throwable failure) {
        if (failure instanceof SnapshotException refused) {
            if (refused.category() == SnapshotException.Category.INTERNAL) {
                unexpected(rpc, key, refused);
            }
            return StatusMapping.of(refused);
        }
        unexpected(rpc, key, failure);
        return Status.INTERNAL.withDescription(rpc.method + " " + key + ": " + failure);
    }

    /** Counts an answer. */
    void answered(Rpc rpc, Status status, long arrivedAtNanos) {
        metrics.rpcAnswered(rpc.method, status.getCode().name(), System.nanoTime() - arrivedAtNanos);
    }

    /** Without a handler every answer to a call that was cancelled meanwhile would throw. */
    static void ignoreAnswersAfterCancellation(ServerCallStreamObserver<?> call) {
        call.setOnCancelHandler(() -> {});
    }

    private void unexpected(Rpc rpc, String key, Throwable failure) {
        metrics.unexpectedFailure(rpc.method);
        LOG.log(Level.ERROR, "call failed unexpectedly", "method", rpc.method, "key", key, "failure", failure);
    }
}
