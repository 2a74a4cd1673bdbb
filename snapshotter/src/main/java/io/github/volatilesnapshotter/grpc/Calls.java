package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.Cancellation;
import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Consumer;

/** Carries each call from the event loop to its lane, and its outcome to the client, the metrics and the log. */
final class Calls {
    /** What one call does. */
    @FunctionalInterface
    interface Work<T> {
        T run(Cancellation cancellation) throws SnapshotException;
    }

    private static final Logger LOG = System.getLogger(Calls.class.getName());

    private final Lanes lanes;
    private final Metrics metrics;

    Calls(Lanes lanes, Metrics metrics) {
        this.lanes = lanes;
        this.metrics = metrics;
        for (Rpc rpc : Rpc.values()) {
            metrics.announceFailures(rpc.method);
        }
    }

    /**
     * Runs the work on the method's lane and answers with its result or its failure. A call that was cancelled while it waited does
     * nothing.
     *
     * @param key what the log and an unexpected failure's message name
     */
    <T> void unary(Rpc rpc, String key, StreamObserver<T> observer, Work<T> work) {
        long arrivedAtNanos = System.nanoTime();
        ServerCallStreamObserver<T> call = (ServerCallStreamObserver<T>) observer;
        ignoreAnswersAfterCancellation(call);
        Context context = Context.current();
        onLane(
                rpc,
                () -> {
                    Status status = answer(rpc, key, call, context, work);
                    answered(rpc, status, arrivedAtNanos);
                },
                refusal -> {
                    call.onError(refusal.asRuntimeException());
                    answered(rpc, refusal, arrivedAtNanos);
                });
    }

    /** Runs the task on the method's lane; where it is full, gives the refusal to the caller on this thread. */
    void onLane(Rpc rpc, Runnable task, Consumer<Status> refused) {
        try {
            lanes.execute(rpc.lane, task);
        } catch (RejectedExecutionException e) {
            refused.accept(Status.UNAVAILABLE
                    .withDescription(rpc.method + ": too many calls wait, or the snapshotter is stopping; try again")
                    .withCause(e));
        }
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

    @SuppressWarnings("CatchingUnchecked") // whatever happens, the client gets an answer
    private <T> Status answer(Rpc rpc, String key, ServerCallStreamObserver<T> call, Context context, Work<T> work) {
        Status status;
        try {
            if (context.isCancelled()) {
                status = Status.CANCELLED.withDescription(rpc.method + " " + key + ": cancelled before it began");
            } else {
                T result = work.run(context::isCancelled);
                call.onNext(result);
                call.onCompleted();
                return Status.OK;
            }
        } catch (SnapshotException | RuntimeException | Error failure) {
            status = failed(rpc, key, failure);
        }
        call.onError(status.asRuntimeException());
        return status;
    }

    private void unexpected(Rpc rpc, String key, Throwable failure) {
        metrics.unexpectedFailure(rpc.method);
        LOG.log(Level.ERROR, "call failed unexpectedly", "method", rpc.method, "key", key, "failure", failure);
    }
}
