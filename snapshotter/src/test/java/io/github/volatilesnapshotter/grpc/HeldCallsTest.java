package io.github.volatilesnapshotter.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.Uninterruptibles;
import com.google.protobuf.Empty;
import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.metrics.Scrapes;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CommitSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.MountsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.RemoveSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc.SnapshotsBlockingStub;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc.SnapshotsFutureStub;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageResponse;
import io.github.volatilesnapshotter.snapshot.Cancellation;
import io.github.volatilesnapshotter.snapshot.FakeSnapshotter;
import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.github.volatilesnapshotter.snapshot.Usage;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Calls whose threads a disk holds. */
@Timeout(30)
class HeldCallsTest {
    private static final int THREADS = 2;
    private static final String HUNG = "device 7:1 is hung: the write probe has not come back";

    private final Disk disk = new Disk();

    @TempDir
    private Path directory;

    private ServerFixture fixture;
    private SnapshotsFutureStub calls;

    /** Holds every Remove, Commit and Usage of an active until it is released. */
    private static final class Disk extends FakeSnapshotter {
        private final CountDownLatch release = new CountDownLatch(1);
        private final List<String> begun = new CopyOnWriteArrayList<>();
        private final List<String> ended = new CopyOnWriteArrayList<>();

        @Override
        public void remove(String key) throws SnapshotException {
            hold(key);
            super.remove(key);
        }

        @Override
        public void commit(
                String name, String key, String parent, Map<String, String> labels, Cancellation cancellation)
                throws SnapshotException {
            hold(key);
            super.commit(name, key, parent, labels, cancellation);
        }

        @Override
        public Usage usage(String key, Cancellation cancellation) throws SnapshotException {
            hold(key);
            return super.usage(key, cancellation);
        }

        /** Held by nothing. */
        void addLayer() throws SnapshotException {
            super.prepare("unpacked", "", Map.of());
            super.commit("layer", "unpacked", "", Map.of(), Cancellation.NEVER);
        }

        private void hold(String key) {
            begun.add(key);
            Uninterruptibles.awaitUninterruptibly(release);
            ended.add(key);
        }
    }

    private void serve(long callTimeoutMillis) throws Exception {
        fixture = new ServerFixture(
                directory, disk, new Config.Grpc(Set.of(ServerFixture.ownUid()), THREADS, 64, callTimeoutMillis, 0));
        ManagedChannel channel = fixture.connect();
        calls = SnapshotsGrpc.newFutureStub(channel);
        calls.prepare(prepare("active")).get();
        disk.addLayer();
    }

    @AfterEach
    void close() throws Exception {
        disk.release.countDown();
        fixture.close();
    }

    @Test
    void calls_that_are_held_and_calls_behind_them_are_answered_within_the_bound() throws Exception {
        serve(200);
        List<ListenableFuture<Empty>> removals = removals(THREADS + 3);

        List<Status> statuses = new ArrayList<>();
        for (var removal : removals) {
            statuses.add(failure(removal));
        }

        assertThat(statuses).allSatisfy(status -> {
            assertThat(status.getCode()).isEqualTo(Status.Code.UNAVAILABLE);
            assertThat(status.getDescription()).containsPattern("Remove k\\d: not (done|begun) after \\d{3,4} ms \\(");
        });
        assertThat(metric("rpc_abandoned_total{method=\"Remove\"}")).isEqualTo("5.0");
        assertThat(metric("rpc_held_threads{lane=\"change\"}")).isEqualTo("2.0");
        assertThat(metric("queue_length{queue=\"rpc-change\"}")).isEqualTo("0.0");
        assertOthersAnswer();
    }

    @Test
    void a_call_that_was_answered_while_it_waited_never_runs_and_a_thread_that_was_held_is_of_use_again()
            throws Exception {
        serve(200);
        List<ListenableFuture<Empty>> removals = removals(THREADS + 3);
        for (var removal : removals) {
            failure(removal);
        }

        disk.release.countDown();

        await().untilAsserted(() ->
                assertThat(metric("rpc_held_threads{lane=\"change\"}")).isEqualTo("0.0"));
        assertThat(calls.remove(remove("active")).get()).isEqualTo(Empty.getDefaultInstance());
        assertThat(disk.begun).hasSize(THREADS + 1).contains("active");
        assertThat(metric("rpc_seconds_count{method=\"Remove\",status=\"UNAVAILABLE\"}"))
                .isEqualTo("5");
        assertThat(metric("rpc_seconds_count{method=\"Remove\",status=\"OK\"}")).isEqualTo("1");
        assertThat(Scrapes.of(fixture.metrics))
                .doesNotContain("method=\"Remove\",status=\"NOT_FOUND\"", "method=\"Remove\",status=\"CANCELLED\"");
    }

    @Test
    void a_disk_that_is_known_to_hang_ends_all_that_needs_it_at_once_until_it_answers() throws Exception {
        serve(60_000);
        List<ListenableFuture<Empty>> removals = removals(THREADS + 1);
        ListenableFuture<Empty> commit = calls.commit(
                CommitSnapshotRequest.newBuilder().setKey("active").setName("c").build());
        ListenableFuture<UsageResponse> usage = calls.usage(usage("active"));
        await().until(() -> disk.begun.size() == THREADS + 2);

        fixture.server.diskIs(HUNG, false);

        for (var call : removals) {
            assertThat(failure(call).getDescription()).contains("Remove k", HUNG);
        }
        assertThat(failure(commit).getDescription()).contains("Commit active: not done after", HUNG);
        assertThat(failure(usage).getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        Status refused = failure(calls.prepare(prepare("new")));
        assertThat(refused.getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(refused.getDescription()).isEqualTo("Prepare new: " + HUNG);
        assertThat(failure(calls.usage(usage("active"))).getDescription()).isEqualTo("Usage active: " + HUNG);
        assertOthersAnswer();

        disk.release.countDown();
        fixture.server.diskIs("device 7:1 is healthy", true);
        await().ignoreExceptions()
                .untilAsserted(
                        () -> assertThat(calls.prepare(prepare("new")).get().getMountsCount())
                                .isOne());
    }

    @Test
    void a_commit_has_its_own_wait_for_the_disk_on_top() throws Exception {
        serve(200);
        ListenableFuture<Empty> commit = calls.commit(
                CommitSnapshotRequest.newBuilder().setKey("active").setName("c").build());
        await().until(() -> disk.begun.contains("active"));

        failure(removals(1).getFirst());

        assertThat(commit).isNotDone();
        assertThat(failure(commit).getDescription()).containsPattern("Commit active: not done after 1\\d{3} ms");
    }

    @Test
    void the_usage_of_a_layer_waits_for_no_usage_that_is_counted() throws Exception {
        serve(60_000);
        var counted = List.of(calls.usage(usage("active")), calls.usage(usage("active")), calls.usage(usage("active")));
        await().until(() -> disk.begun.size() == 2);

        assertOthersAnswer();

        assertThat(counted).noneMatch(ListenableFuture::isDone);
        disk.release.countDown();
        for (var usage : counted) {
            assertThat(usage.get().getSize()).isEqualTo(4096);
        }
    }

    @Test
    void a_call_whose_client_has_given_up_leaves_the_queue() throws Exception {
        serve(2_000);
        removals(THREADS);
        await().until(() -> disk.begun.size() == THREADS);

        Status status =
                failure(calls.withDeadlineAfter(100, TimeUnit.MILLISECONDS).remove(remove("late")));

        assertThat(status.getCode()).isEqualTo(Status.Code.DEADLINE_EXCEEDED);
        await().atMost(1, TimeUnit.SECONDS)
                .untilAsserted(() ->
                        assertThat(metric("queue_length{queue=\"rpc-change\"}")).isEqualTo("0.0"));
    }

    private List<ListenableFuture<Empty>> removals(int count) {
        List<ListenableFuture<Empty>> removals = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            removals.add(calls.remove(remove("k" + i)));
        }
        return removals;
    }

    /** What needs no disk. */
    private void assertOthersAnswer() {
        SnapshotsBlockingStub client =
                SnapshotsGrpc.newBlockingStub(calls.getChannel()).withDeadlineAfter(5, TimeUnit.SECONDS);
        client.stat(StatSnapshotRequest.newBuilder().setKey("active").build());
        client.mounts(MountsRequest.newBuilder().setKey("active").build());
        assertThat(client.list(ListSnapshotsRequest.getDefaultInstance()).next().getInfoCount())
                .isEqualTo(2);
        assertThat(client.usage(usage("layer")).getSize()).isEqualTo(8192);
    }

    private static Status failure(ListenableFuture<?> call) {
        List<Status> statuses = new ArrayList<>();
        assertThatExceptionOfType(ExecutionException.class)
                .isThrownBy(() -> call.get(20, TimeUnit.SECONDS))
                .havingCause()
                .isInstanceOfSatisfying(StatusRuntimeException.class, e -> statuses.add(e.getStatus()));
        return statuses.getFirst();
    }

    private String metric(String name) {
        return Scrapes.of(fixture.metrics)
                .lines()
                .filter(line -> line.startsWith("volatile_snapshotter_" + name + " "))
                .map(line -> line.substring(line.lastIndexOf(' ') + 1))
                .findFirst()
                .orElse("none");
    }

    private static PrepareSnapshotRequest prepare(String key) {
        return PrepareSnapshotRequest.newBuilder().setKey(key).build();
    }

    private static RemoveSnapshotRequest remove(String key) {
        return RemoveSnapshotRequest.newBuilder().setKey(key).build();
    }

    private static UsageRequest usage(String key) {
        return UsageRequest.newBuilder().setKey(key).build();
    }
}
