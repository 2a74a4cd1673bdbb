package io.github.volatilesnapshotter.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsResponse;
import io.github.volatilesnapshotter.snapshot.FakeSnapshotter;
import io.github.volatilesnapshotter.snapshot.Kind;
import io.github.volatilesnapshotter.snapshot.SnapshotInfo;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class ListStreamTest {
    private static final long NEVER_STALLS_MILLIS = 3_600_000;

    private final Metrics metrics = new Metrics();
    private final Lanes lanes = new Lanes(1, 16, (_, work) -> work.run(), metrics);
    private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    private final FakeCall call = new FakeCall();

    @AfterEach
    void stop() throws InterruptedException {
        timer.shutdownNow();
        lanes.stop(1_000);
        metrics.close();
    }

    @Test
    void nothing_is_sent_while_the_client_does_not_read() {
        call.readyFor(1);

        start(250, NEVER_STALLS_MILLIS);

        call.awaitBatches(1);
        assertThat(call.isEnded()).isFalse();

        call.readyFor(1);
        call.ready();
        call.awaitBatches(2);
        assertThat(call.isEnded()).isFalse();

        call.readyFor(100);
        call.ready();
        call.awaitEnd(Status.Code.OK);
        assertThat(call.batchLengths()).containsExactly(100, 100, 50);
    }

    @Test
    void a_client_that_reads_nothing_for_too_long_gets_unavailable() {
        call.readyFor(1);

        start(250, 20);

        call.awaitEnd(Status.Code.UNAVAILABLE);
        assertThat(call.batchLengths()).containsExactly(100);
    }

    @Test
    void a_cancelled_list_ends_and_sends_nothing_more() {
        call.readyFor(1);
        start(250, NEVER_STALLS_MILLIS);
        call.awaitBatches(1);

        call.readyFor(100);
        call.cancel();

        call.awaitEnd(Status.Code.CANCELLED);
        assertThat(call.batchLengths()).containsExactly(100);
    }

    @Test
    void a_batch_ends_before_it_grows_beyond_what_a_client_takes() {
        call.readyFor(100);
        SnapshotInfo large = info(Map.of("label", "x".repeat(600_000)));

        new ListStream(
                        call,
                        () -> Collections.nCopies(5, large).iterator(),
                        new Calls(lanes, new CallBounds(60_000, 1_000), metrics),
                        timer,
                        NEVER_STALLS_MILLIS)
                .start();

        call.awaitEnd(Status.Code.OK);
        assertThat(call.batchLengths()).containsExactly(2, 2, 1);
    }

    private void start(int snapshots, long stallMillis) {
        new ListStream(
                        call,
                        () -> Collections.nCopies(snapshots, info(Map.of())).iterator(),
                        new Calls(lanes, new CallBounds(60_000, 1_000), metrics),
                        timer,
                        stallMillis)
                .start();
    }

    private static SnapshotInfo info(Map<String, String> labels) {
        return new SnapshotInfo("a", "", Kind.ACTIVE, FakeSnapshotter.CREATED_AT, FakeSnapshotter.CREATED_AT, labels);
    }

    /** A call whose client has room for a set number of messages. */
    private static final class FakeCall extends ServerCallStreamObserver<ListSnapshotsResponse> {
        private final List<ListSnapshotsResponse> batches = new ArrayList<>();
        private int room;
        private boolean cancelled;
        private Status end;
        private Runnable onReady;
        private Runnable onCancel;

        synchronized void readyFor(int messages) {
            room = messages;
        }

        void ready() {
            onReady.run();
        }

        void cancel() {
            synchronized (this) {
                cancelled = true;
            }
            onCancel.run();
        }

        synchronized boolean isEnded() {
            return end != null;
        }

        synchronized List<Integer> batchLengths() {
            return batches.stream().map(ListSnapshotsResponse::getInfoCount).toList();
        }

        void awaitBatches(int count) {
            await().until(() -> batchLengths().size() == count);
        }

        void awaitEnd(Status.Code code) {
            await().until(this::isEnded);
            synchronized (this) {
                assertThat(end.getCode()).isEqualTo(code);
            }
        }

        @Override
        public synchronized boolean isReady() {
            return room > 0;
        }

        @Override
        public synchronized boolean isCancelled() {
            return cancelled;
        }

        @Override
        public synchronized void onNext(ListSnapshotsResponse batch) {
            assertThat(end).isNull();
            room--;
            batches.add(batch);
        }

        @Override
        public synchronized void onError(Throwable failure) {
            assertThat(end).isNull();
            end = Status.fromThrowable(failure);
        }

        @Override
        public synchronized void onCompleted() {
            assertThat(end).isNull();
            end = Status.OK;
        }

        @Override
        public void setOnReadyHandler(Runnable handler) {
            onReady = handler;
        }

        @Override
        public void setOnCancelHandler(Runnable handler) {
            onCancel = handler;
        }

        @Override
        public void setCompression(String compression) {}

        @Override
        public void disableAutoInboundFlowControl() {}

        @Override
        public void request(int count) {}

        @Override
        public void setMessageCompression(boolean enable) {}
    }
}
