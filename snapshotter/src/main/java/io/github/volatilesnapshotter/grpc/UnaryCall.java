package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.snapshot.Cancellation;
import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.grpc.Context;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * A call with one answer, from its arrival to its end. The answer may come before the end: a thread that waits for a disk that hangs
 * can't be interrupted, but its client can be told. Whoever brings {@link #stage} to {@link Stage#ANSWERED} gives the answer, and
 * nobody else: there is never a second one.
 */
final class UnaryCall<T> implements Runnable {
    /** What a call does. */
    @FunctionalInterface
    interface Work<T> {
        T run(Cancellation cancellation) throws SnapshotException;
    }

    /** What may be known from records; empty if the work has to be done. */
    @FunctionalInterface
    interface Records<T> {
        Optional<T> find() throws SnapshotException;
    }

    private enum Stage {
        /** Waits for a thread. */
        QUEUED,
        RUNNING,
        /** If it runs all the same, its outcome is only logged. */
        ANSWERED
    }

    final Rpc rpc;
    final String key;
    private final ServerCallStreamObserver<T> observer;
    private final Work<T> work;
    private final Calls calls;
    private final Context context = Context.current();
    private final long arrivedAtNanos = System.nanoTime();
    private final AtomicReference<Stage> stage = new AtomicReference<>(Stage.QUEUED);

    /** Null once they were asked in vain. */
    private volatile @Nullable Records<T> records;

    /** Called on the event loop, within the service's method. */
    UnaryCall(
            Rpc rpc,
            String key,
            ServerCallStreamObserver<T> observer,
            @Nullable Records<T> records,
            Work<T> work,
            Calls calls) {
        this.rpc = rpc;
        this.key = key;
        this.observer = observer;
        this.records = records;
        this.work = work;
        this.calls = calls;
    }

    /** The lane that it waits for or runs on now. */
    Lane lane() {
        return records == null ? rpc.lane : Lane.READ;
    }

    /** Whether it was answered before it was done. */
    boolean isAnswered() {
        return stage.get() == Stage.ANSWERED;
    }

    boolean isCancelled() {
        return context.isCancelled();
    }

    Context context() {
        return context;
    }

    long millisSinceArrival() {
        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - arrivedAtNanos);
    }

    /** On a thread of its lane. One that was answered while it waited does nothing. */
    @Override
    @SuppressWarnings("CatchingUnchecked") // whatever happens, the client gets an answer
    public void run() {
        if (!stage.compareAndSet(Stage.QUEUED, Stage.RUNNING)) {
            calls.ended(this);
            return;
        }
        try {
            if (isCancelled()) {
                fail(Status.CANCELLED.withDescription(rpc.method + " " + key + ": cancelled before it began"));
                return;
            }
            Records<T> asked = records;
            Optional<T> known = asked == null ? Optional.empty() : asked.find();
            if (asked != null && known.isEmpty()) {
                continueOnItsLane();
                return;
            }
            succeed(known.isPresent() ? known.get() : work.run(() -> isCancelled() || isAnswered()));
        } catch (SnapshotException | RuntimeException | Error failure) {
            fail(calls.failed(rpc, key, failure));
        }
    }

    private void continueOnItsLane() {
        records = null;
        if (stage.compareAndSet(Stage.RUNNING, Stage.QUEUED)) {
            calls.begin(this);
        } else {
            calls.ended(this);
        }
    }

    private void succeed(T result) {
        // The end before the answer: who has the answer finds the thread free.
        calls.ended(this);
        if (stage.compareAndSet(Stage.RUNNING, Stage.ANSWERED)) {
            observer.onNext(result);
            observer.onCompleted();
            calls.answered(rpc, Status.OK, arrivedAtNanos);
        } else {
            calls.endedLate(this, Status.OK);
        }
    }

    private void fail(Status status) {
        calls.ended(this);
        if (stage.compareAndSet(Stage.RUNNING, Stage.ANSWERED)) {
            observer.onError(status.asRuntimeException());
            calls.answered(rpc, status, arrivedAtNanos);
        } else {
            calls.endedLate(this, status);
        }
    }

    /**
     * Answers now, whatever becomes of the work. From any thread; does nothing if the call was answered.
     *
     * @return whether this was the answer
     */
    boolean answerEarly(Status status) {
        if (stage.getAndSet(Stage.ANSWERED) == Stage.ANSWERED) {
            return false;
        }
        observer.onError(status.asRuntimeException());
        calls.answered(rpc, status, arrivedAtNanos);
        return true;
    }

    /** Whether a thread is at it. */
    boolean isRunning() {
        return stage.get() == Stage.RUNNING;
    }
}
