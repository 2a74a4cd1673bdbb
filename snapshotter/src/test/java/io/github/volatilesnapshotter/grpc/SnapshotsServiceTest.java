package io.github.volatilesnapshotter.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.Uninterruptibles;
import com.google.protobuf.ByteString;
import com.google.protobuf.Empty;
import com.google.protobuf.FieldMask;
import com.google.protobuf.UnknownFieldSet;
import io.github.volatilesnapshotter.metrics.Scrapes;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CleanupRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CommitSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.MountsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.RemoveSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc.SnapshotsBlockingStub;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UpdateSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ViewSnapshotRequest;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckRequest;
import io.github.volatilesnapshotter.proto.health.v1.HealthGrpc;
import io.github.volatilesnapshotter.snapshot.Cancellation;
import io.github.volatilesnapshotter.snapshot.FakeSnapshotter;
import io.github.volatilesnapshotter.snapshot.Mount;
import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.snapshot.SnapshotInfo;
import io.github.volatilesnapshotter.snapshot.Snapshotter;
import io.grpc.CallOptions;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.ProtoUtils;
import io.grpc.stub.ClientCalls;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(30)
class SnapshotsServiceTest {
    @TempDir
    private Path directory;

    private ServerFixture fixture;

    @AfterEach
    void stopTheServer() throws IOException {
        if (fixture != null) {
            fixture.close();
        }
    }

    @Test
    void prepare_answers_the_mounts_as_given() throws IOException {
        SnapshotsBlockingStub client = serve(new FakeSnapshotter() {
            @Override
            public List<Mount> prepare(
                    String key, String parent, Map<String, String> labels, Cancellation cancellation) {
                return List.of(new Mount("overlay", "overlay", List.of(key, parent, labels.get("label"))));
            }
        });

        var response = client.prepare(PrepareSnapshotRequest.newBuilder()
                .setKey("ns/1/a b")
                .setParent("ns/2/sha256:0")
                .putLabels("label", "value")
                .build());

        assertThat(response.getMountsList()).singleElement().satisfies(mount -> {
            assertThat(mount.getType()).isEqualTo("overlay");
            assertThat(mount.getSource()).isEqualTo("overlay");
            assertThat(mount.getTarget()).isEmpty();
            assertThat(mount.getOptionsList()).containsExactly("ns/1/a b", "ns/2/sha256:0", "value");
        });
    }

    @Test
    void the_ten_methods_reach_the_snapshotter() throws IOException {
        SnapshotsBlockingStub client = serve(new FakeSnapshotter());

        prepare(client, "active");
        client.commit(CommitSnapshotRequest.newBuilder()
                .setKey("active")
                .setName("committed")
                .putLabels("l", "1")
                .build());
        assertThat(client.view(ViewSnapshotRequest.newBuilder()
                                .setKey("view")
                                .setParent("committed")
                                .build())
                        .getMountsCount())
                .isOne();
        assertThat(client.mounts(MountsRequest.newBuilder().setKey("view").build())
                        .getMounts(0)
                        .getSource())
                .isEqualTo("/snapshots/view");
        assertThat(stat(client, "view").getKind()).isEqualTo(Kind.VIEW);
        assertThat(stat(client, "view").getParent()).isEqualTo("committed");
        assertThat(stat(client, "committed").getKind()).isEqualTo(Kind.COMMITTED);
        assertThat(stat(client, "committed").getLabelsMap()).containsExactly(Map.entry("l", "1"));
        assertThat(client.usage(UsageRequest.newBuilder().setKey("view").build())
                        .getSize())
                .isEqualTo(4096);
        assertThat(list(client)).hasSize(2);
        client.remove(RemoveSnapshotRequest.newBuilder().setKey("view").build());
        assertThat(list(client)).hasSize(1);
        client.cleanup(CleanupRequest.getDefaultInstance());
    }

    @Test
    void timestamps_keep_their_nanoseconds() throws IOException {
        SnapshotsBlockingStub client = serve(new FakeSnapshotter());
        prepare(client, "a");

        Info info = stat(client, "a");

        assertThat(info.getCreatedAt().getSeconds()).isEqualTo(1_700_000_000L);
        assertThat(info.getCreatedAt().getNanos()).isEqualTo(123_456_789);
        assertThat(info.getKind()).isEqualTo(Kind.ACTIVE);
    }

    @Test
    void update_passes_labels_and_mask_on() throws IOException {
        List<String> paths = new ArrayList<>();
        SnapshotsBlockingStub client = serve(new FakeSnapshotter() {
            @Override
            public SnapshotInfo update(String key, Map<String, String> labels, List<String> fieldPaths)
                    throws SnapshotException {
                paths.addAll(fieldPaths);
                return super.update(key, labels, fieldPaths);
            }
        });
        prepare(client, "a");

        Info updated = client.update(UpdateSnapshotRequest.newBuilder()
                        .setInfo(Info.newBuilder().setName("a").putLabels("x.y", "z"))
                        .setUpdateMask(FieldMask.newBuilder().addPaths("labels.x.y"))
                        .build())
                .getInfo();

        assertThat(paths).containsExactly("labels.x.y");
        assertThat(updated.getLabelsMap()).containsExactly(Map.entry("x.y", "z"));
    }

    @Test
    void update_without_info_is_an_invalid_argument() throws IOException {
        SnapshotsBlockingStub client = serve(new FakeSnapshotter());

        assertStatus(Status.Code.INVALID_ARGUMENT, () -> client.update(UpdateSnapshotRequest.getDefaultInstance()));
    }

    @ParameterizedTest
    @EnumSource(Category.class)
    void each_category_of_failure_has_the_status_of_its_name_and_keeps_its_message(Category category)
            throws IOException {
        SnapshotsBlockingStub client = serve(new FakeSnapshotter() {
            @Override
            public void remove(String key) throws SnapshotException {
                throw new SnapshotException(category, "snapshot " + key + ": reason");
            }
        });

        Status status = assertStatus(
                Status.Code.valueOf(category.name()),
                () -> client.remove(
                        RemoveSnapshotRequest.newBuilder().setKey("a").build()));

        assertThat(status.getDescription()).isEqualTo("snapshot a: reason");
    }

    @Test
    void an_unexpected_failure_is_internal_names_method_and_key_and_is_counted() throws IOException {
        SnapshotsBlockingStub client = serve(new FakeSnapshotter() {
            @Override
            public void remove(String key) {
                throw new IllegalStateException("broken");
            }
        });

        Status status = assertStatus(
                Status.Code.INTERNAL,
                () -> client.remove(
                        RemoveSnapshotRequest.newBuilder().setKey("ns/1/a").build()));

        assertThat(status.getDescription()).contains("Remove", "ns/1/a", "broken");
        assertThat(metrics()).contains("volatile_snapshotter_rpc_unexpected_total{method=\"Remove\"} 1.0");
    }

    @Test
    void bytes_that_are_no_message_are_an_invalid_argument() throws IOException {
        serve(new FakeSnapshotter());
        ManagedChannel channel = fixture.connect();

        for (String method : List.of("Stat", "List", "Prepare")) {
            Status status = assertStatus(
                    Status.Code.INVALID_ARGUMENT,
                    () -> ClientCalls.blockingUnaryCall(
                            channel, rawMethod(method), CallOptions.DEFAULT, new byte[] {(byte) 0xff, 1, 2}));
            assertThat(status.getDescription()).contains("malformed request");
        }
    }

    @Test
    void a_key_that_is_no_utf_8_is_an_invalid_argument() throws IOException {
        serve(new FakeSnapshotter());
        ByteString key = ByteString.copyFrom(new byte[] {(byte) 0xc3, (byte) 0x28});
        byte[] request = UnknownFieldSet.newBuilder()
                .addField(
                        2,
                        UnknownFieldSet.Field.newBuilder()
                                .addLengthDelimited(key)
                                .build())
                .build()
                .toByteArray();

        assertStatus(
                Status.Code.INVALID_ARGUMENT,
                () -> ClientCalls.blockingUnaryCall(
                        fixture.connect(), rawMethod("Stat"), CallOptions.DEFAULT, request));
    }

    @Test
    void a_request_of_fifteen_mebibytes_is_read() throws IOException {
        SnapshotsBlockingStub client = serve(new FakeSnapshotter());

        client.prepare(PrepareSnapshotRequest.newBuilder()
                .setKey("a")
                .putLabels("big", "x".repeat(15 << 20))
                .build());

        assertThat(stat(client, "a").getLabelsMap().get("big")).hasSize(15 << 20);
    }

    @Test
    void a_list_comes_in_batches_of_at_most_one_hundred() throws IOException {
        SnapshotsBlockingStub client =
                serve(listing(Collections.nCopies(250, info("a")).iterator()));

        List<ListSnapshotsResponse> batches = new ArrayList<>();
        client.list(ListSnapshotsRequest.getDefaultInstance()).forEachRemaining(batches::add);

        assertThat(batches).extracting(ListSnapshotsResponse::getInfoCount).containsExactly(100, 100, 50);
    }

    @Test
    void an_empty_list_has_no_message() throws IOException {
        SnapshotsBlockingStub client = serve(listing(Collections.emptyIterator()));

        assertThat(client.list(ListSnapshotsRequest.getDefaultInstance()).hasNext())
                .isFalse();
    }

    @Test
    void a_failure_in_the_midst_of_a_list_reaches_the_client() throws IOException {
        Iterator<SnapshotInfo> failing = IntStream.range(0, 1000)
                .mapToObj(i -> {
                    if (i == 500) {
                        throw new IllegalStateException("broken record");
                    }
                    return info("a" + i);
                })
                .iterator();
        SnapshotsBlockingStub client = serve(listing(failing));

        Status status = assertStatus(
                Status.Code.INTERNAL,
                () -> client.list(ListSnapshotsRequest.getDefaultInstance()).forEachRemaining(_ -> {}));

        assertThat(status.getDescription()).contains("broken record");
    }

    @Test
    void a_cancelled_call_that_waits_for_a_thread_does_nothing() throws Exception {
        CountDownLatch release = new CountDownLatch(1);
        CountDownLatch busy = new CountDownLatch(ServerFixture.SETTINGS.workerThreads());
        List<String> removed = Collections.synchronizedList(new ArrayList<>());
        SnapshotsBlockingStub client = serve(new FakeSnapshotter() {
            @Override
            public void remove(String key) {
                busy.countDown();
                awaitUninterruptibly(release);
                removed.add(key);
            }
        });
        var stub = SnapshotsGrpc.newFutureStub(client.getChannel());
        List<ListenableFuture<Empty>> running = IntStream.range(0, ServerFixture.SETTINGS.workerThreads())
                .mapToObj(i -> stub.remove(
                        RemoveSnapshotRequest.newBuilder().setKey("running" + i).build()))
                .toList();
        assertThat(busy.await(10, TimeUnit.SECONDS)).isTrue();
        ListenableFuture<Empty> late =
                stub.remove(RemoveSnapshotRequest.newBuilder().setKey("late").build());
        Awaitility.await()
                .until(() -> metrics().contains("volatile_snapshotter_queue_length{queue=\"rpc-change\"} 1.0"));
        late.cancel(true);

        // On one connection the server hears of the cancellation before this request.
        assertStatus(Status.Code.NOT_FOUND, () -> stat(client, "nobody"));
        release.countDown();
        for (var call : running) {
            call.get();
        }
        stub.remove(RemoveSnapshotRequest.newBuilder().setKey("after").build()).get();

        assertThat(removed).contains("after", "running0").doesNotContain("late");
    }

    @Test
    void the_snapshotter_hears_that_the_caller_has_gone() throws Exception {
        CountDownLatch heard = new CountDownLatch(1);
        SnapshotsBlockingStub client = serve(new FakeSnapshotter() {
            @Override
            public void commit(
                    String name, String key, String parent, Map<String, String> labels, Cancellation cancellation) {
                while (!cancellation.isCancelled()) {
                    Thread.onSpinWait();
                }
                heard.countDown();
            }
        });

        assertStatus(
                Status.Code.DEADLINE_EXCEEDED,
                () -> client.withDeadlineAfter(100, TimeUnit.MILLISECONDS)
                        .commit(CommitSnapshotRequest.newBuilder()
                                .setKey("a")
                                .setName("b")
                                .build()));

        assertThat(heard.await(10, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void hung_commits_do_not_stop_prepare_and_stat() throws Exception {
        CountDownLatch release = new CountDownLatch(1);
        SnapshotsBlockingStub client = serve(new FakeSnapshotter() {
            @Override
            public void commit(
                    String name, String key, String parent, Map<String, String> labels, Cancellation cancellation) {
                awaitUninterruptibly(release);
            }
        });
        var stub = SnapshotsGrpc.newFutureStub(client.getChannel());
        List<ListenableFuture<Empty>> hung = IntStream.range(0, ServerFixture.SETTINGS.queueLength())
                .mapToObj(i -> stub.commit(
                        CommitSnapshotRequest.newBuilder().setKey("a" + i).build()))
                .toList();

        prepare(client, "b");
        assertThat(stat(client, "b").getName()).isEqualTo("b");
        assertThat(hung).noneMatch(ListenableFuture::isDone);

        release.countDown();
        for (var commit : hung) {
            commit.get();
        }
    }

    @Test
    void a_full_queue_answers_unavailable_and_is_counted() throws Exception {
        CountDownLatch release = new CountDownLatch(1);
        SnapshotsBlockingStub client = serve(new FakeSnapshotter() {
            @Override
            public void remove(String key) {
                awaitUninterruptibly(release);
            }
        });
        var stub = SnapshotsGrpc.newFutureStub(client.getChannel());
        int taken = ServerFixture.SETTINGS.workerThreads() + ServerFixture.SETTINGS.queueLength();
        List<ListenableFuture<Empty>> running = new ArrayList<>();
        for (int i = 0; i < taken; i++) {
            running.add(stub.remove(
                    RemoveSnapshotRequest.newBuilder().setKey("a" + i).build()));
        }

        String fullQueue = "volatile_snapshotter_queue_length{queue=\"rpc-change\"} "
                + (double) ServerFixture.SETTINGS.queueLength();
        Awaitility.await().untilAsserted(() -> assertThat(metrics()).contains(fullQueue));
        Status status = assertStatus(
                Status.Code.UNAVAILABLE,
                () -> client.remove(
                        RemoveSnapshotRequest.newBuilder().setKey("b").build()));

        assertThat(status.getDescription()).contains("Remove: too many calls wait");
        assertThat(metrics()).contains("volatile_snapshotter_rpc_rejected_total{lane=\"change\"} 1.0");
        release.countDown();
        for (var call : running) {
            call.get();
        }
    }

    @Test
    void latency_is_measured_by_method_and_status() throws IOException {
        SnapshotsBlockingStub client = serve(new FakeSnapshotter());
        prepare(client, "a");

        assertStatus(Status.Code.NOT_FOUND, () -> stat(client, "nobody"));
        stat(client, "a");

        Awaitility.await()
                .untilAsserted(() -> assertThat(metrics())
                        .contains("volatile_snapshotter_rpc_seconds_count{method=\"Stat\",status=\"NOT_FOUND\"} 1")
                        .contains("volatile_snapshotter_rpc_seconds_count{method=\"Stat\",status=\"OK\"} 1"));
    }

    private SnapshotsBlockingStub serve(Snapshotter snapshotter) throws IOException {
        fixture = new ServerFixture(directory, snapshotter);
        ManagedChannel channel = fixture.connect();
        // Calls made before the channel is connected overtake each other.
        HealthGrpc.newBlockingStub(channel).check(HealthCheckRequest.getDefaultInstance());
        return SnapshotsGrpc.newBlockingStub(channel);
    }

    private String metrics() {
        return Scrapes.of(fixture.metrics);
    }

    private static FakeSnapshotter listing(Iterator<SnapshotInfo> snapshots) {
        return new FakeSnapshotter() {
            @Override
            public Iterator<SnapshotInfo> list(List<String> filters) {
                return snapshots;
            }
        };
    }

    private static SnapshotInfo info(String name) {
        return new SnapshotInfo(
                name,
                "",
                io.github.volatilesnapshotter.snapshot.Kind.ACTIVE,
                FakeSnapshotter.CREATED_AT,
                FakeSnapshotter.CREATED_AT,
                Map.of());
    }

    private static void prepare(SnapshotsBlockingStub client, String key) {
        client.prepare(PrepareSnapshotRequest.newBuilder().setKey(key).build());
    }

    private static Info stat(SnapshotsBlockingStub client, String key) {
        return client.stat(StatSnapshotRequest.newBuilder().setKey(key).build()).getInfo();
    }

    private static List<Info> list(SnapshotsBlockingStub client) {
        List<Info> infos = new ArrayList<>();
        client.list(ListSnapshotsRequest.getDefaultInstance())
                .forEachRemaining(batch -> infos.addAll(batch.getInfoList()));
        return infos;
    }

    private static Status assertStatus(Status.Code code, ThrowingCallable call) {
        List<Status> statuses = new ArrayList<>();
        assertThatExceptionOfType(StatusRuntimeException.class)
                .isThrownBy(call)
                .satisfies(e -> statuses.add(e.getStatus()));
        assertThat(statuses.getFirst().getCode()).isEqualTo(code);
        return statuses.getFirst();
    }

    private static void awaitUninterruptibly(CountDownLatch latch) {
        Uninterruptibles.awaitUninterruptibly(latch);
    }

    private static MethodDescriptor<byte[], StatSnapshotResponse> rawMethod(String name) {
        return MethodDescriptor.<byte[], StatSnapshotResponse>newBuilder()
                .setType(MethodDescriptor.MethodType.UNARY)
                .setFullMethodName(MethodDescriptor.generateFullMethodName(SnapshotsGrpc.SERVICE_NAME, name))
                .setRequestMarshaller(new MethodDescriptor.Marshaller<>() {
                    @Override
                    public InputStream stream(byte[] bytes) {
                        return new ByteArrayInputStream(bytes);
                    }

                    @Override
                    public byte[] parse(InputStream stream) {
                        throw new UnsupportedOperationException();
                    }
                })
                .setResponseMarshaller(ProtoUtils.marshaller(StatSnapshotResponse.getDefaultInstance()))
                .build();
    }
}
