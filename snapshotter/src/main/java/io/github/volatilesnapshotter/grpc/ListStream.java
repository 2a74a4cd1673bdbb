package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsResponse;
import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.github.volatilesnapshotter.snapshot.SnapshotInfo;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import java.util.Iterator;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The answer to one List: batches of at most {@value #BATCH_LENGTH}, sent only while the client takes them. Between two batches no
 * thread is held: the event loop says when there is room, and the rest runs on the method's lane again. A client that takes nothing
 * for {@value #STALL_MILLIS} ms gets UNAVAILABLE, so that no forgotten stream keeps its copy of the records.
 *
 * <p>Only one turn runs at a time, and only a turn touches the fields that are not final: {@link #wishes} counts the reasons to run
 * that came since.
 */
final class ListStream {
    /** Opens the list. */
    @FunctionalInterface
    interface Source {
        Iterator<SnapshotInfo> open() throws SnapshotException;
    }

    /** containerd's own service sends batches of 100. */
    static final int BATCH_LENGTH = 100;

    static final long STALL_MILLIS = 30_000;

    // Well below the 16 MiB that containerd's clients take, however many labels there are.
    private static final int BATCH_BYTES = 1 << 20;

    private final ServerCallStreamObserver<ListSnapshotsResponse> call;
    private final Source source;
    private final Calls calls;
    private final ScheduledExecutorService timer;
    private final long stallMillis;
    private final long arrivedAtNanos = System.nanoTime();
    private final AtomicInteger wishes = new AtomicInteger();

    private @Nullable Iterator<SnapshotInfo> snapshots;
    private @Nullable ScheduledFuture<?> stallCheck;
    private long waitingSinceNanos;
    private boolean ended;

    ListStream(
            ServerCallStreamObserver<ListSnapshotsResponse> call,
            Source source,
            Calls calls,
            ScheduledExecutorService timer,
            long stallMillis) {
        this.call = call;
        this.source = source;
        this.calls = calls;
        this.timer = timer;
        this.stallMillis = stallMillis;
    }

    /** Called on the event loop, within the service's method. */
    void start() {
        call.setOnCancelHandler(this::wish);
        call.setOnReadyHandler(this::wish);
        wish();
    }

    private void wish() {
        if (wishes.getAndIncrement() == 0) {
            calls.onLane(Rpc.LIST, Rpc.LIST.lane, this::turns, this::end);
        }
    }

    private void turns() {
        int seen = wishes.get();
        do {
            turn();
            seen = wishes.addAndGet(-seen);
        } while (seen != 0);
    }

    @SuppressWarnings("CatchingUnchecked") // whatever happens, the client gets an answer
    private void turn() {
        if (ended) {
            return;
        }
        try {
            if (call.isCancelled()) {
                end(Status.CANCELLED.withDescription("the client cancelled the list"));
            } else {
                send();
            }
        } catch (SnapshotException | RuntimeException | Error failure) {
            end(calls.failed(Rpc.LIST, "", failure));
        }
    }

    private void send() throws SnapshotException {
        Iterator<SnapshotInfo> rest = snapshots;
        if (rest == null) {
            rest = source.open();
            snapshots = rest;
        }
        boolean sent = false;
        while (rest.hasNext()) {
            if (!call.isReady()) {
                waitForClient(sent);
                return;
            }
            call.onNext(nextBatch(rest));
            sent = true;
        }
        end(Status.OK);
    }

    private void waitForClient(boolean sentSomething) {
        long now = System.nanoTime();
        if (stallCheck == null || sentSomething) {
            if (stallCheck != null) {
                stallCheck.cancel(false);
            }
            waitingSinceNanos = now;
            stallCheck = timer.schedule(this::wish, stallMillis, TimeUnit.MILLISECONDS);
        } else if (now - waitingSinceNanos >= TimeUnit.MILLISECONDS.toNanos(stallMillis)) {
            end(Status.UNAVAILABLE.withDescription("the client read nothing of the list for " + stallMillis + " ms"));
        }
    }

    private static ListSnapshotsResponse nextBatch(Iterator<SnapshotInfo> rest) {
        ListSnapshotsResponse.Builder batch = ListSnapshotsResponse.newBuilder();
        int bytes = 0;
        while (rest.hasNext() && batch.getInfoCount() < BATCH_LENGTH && bytes < BATCH_BYTES) {
            Info info = WireFormat.info(rest.next());
            bytes += info.getSerializedSize();
            batch.addInfo(info);
        }
        return batch.build();
    }

    private void end(Status status) {
        ended = true;
        if (stallCheck != null) {
            stallCheck.cancel(false);
        }
        if (status.isOk()) {
            call.onCompleted();
        } else {
            call.onError(status.asRuntimeException());
        }
        calls.answered(Rpc.LIST, status, arrivedAtNanos);
    }
}
