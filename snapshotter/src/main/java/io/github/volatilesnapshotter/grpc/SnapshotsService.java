package io.github.volatilesnapshotter.grpc;

import com.google.protobuf.Empty;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CleanupRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CommitSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.MountsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.MountsResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.RemoveSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UpdateSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UpdateSnapshotResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ViewSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ViewSnapshotResponse;
import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.github.volatilesnapshotter.snapshot.Snapshotter;
import io.github.volatilesnapshotter.snapshot.Usage;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.concurrent.ScheduledExecutorService;

/**
 * containerd's Snapshots service. Translates, and nothing else: rules are the snapshotter's, threads and failures those of
 * {@link Calls}. Methods are called on the event loop and return at once. The field {@code snapshotter} of a request is the name
 * that containerd's configuration gives the plugin, and means nothing here.
 */
final class SnapshotsService extends SnapshotsGrpc.SnapshotsImplBase {
    private final Snapshotter snapshotter;
    private final Calls calls;
    private final ScheduledExecutorService timer;

    SnapshotsService(Snapshotter snapshotter, Calls calls, ScheduledExecutorService timer) {
        this.snapshotter = snapshotter;
        this.calls = calls;
        this.timer = timer;
    }

    @Override
    public void prepare(PrepareSnapshotRequest request, StreamObserver<PrepareSnapshotResponse> answer) {
        calls.unary(
                Rpc.PREPARE,
                request.getKey(),
                answer,
                cancellation -> PrepareSnapshotResponse.newBuilder()
                        .addAllMounts(WireFormat.mounts(snapshotter.prepare(
                                request.getKey(), request.getParent(), request.getLabelsMap(), cancellation)))
                        .build());
    }

    @Override
    public void view(ViewSnapshotRequest request, StreamObserver<ViewSnapshotResponse> answer) {
        calls.unary(
                Rpc.VIEW,
                request.getKey(),
                answer,
                cancellation -> ViewSnapshotResponse.newBuilder()
                        .addAllMounts(WireFormat.mounts(snapshotter.view(
                                request.getKey(), request.getParent(), request.getLabelsMap(), cancellation)))
                        .build());
    }

    @Override
    public void mounts(MountsRequest request, StreamObserver<MountsResponse> answer) {
        calls.unary(
                Rpc.MOUNTS,
                request.getKey(),
                answer,
                _ -> MountsResponse.newBuilder()
                        .addAllMounts(WireFormat.mounts(snapshotter.mounts(request.getKey())))
                        .build());
    }

    @Override
    public void commit(CommitSnapshotRequest request, StreamObserver<Empty> answer) {
        calls.unary(Rpc.COMMIT, request.getKey(), answer, cancellation -> {
            snapshotter.commit(
                    request.getName(), request.getKey(), request.getParent(), request.getLabelsMap(), cancellation);
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void remove(RemoveSnapshotRequest request, StreamObserver<Empty> answer) {
        calls.unary(Rpc.REMOVE, request.getKey(), answer, _ -> {
            snapshotter.remove(request.getKey());
            return Empty.getDefaultInstance();
        });
    }

    @Override
    public void stat(StatSnapshotRequest request, StreamObserver<StatSnapshotResponse> answer) {
        calls.unary(
                Rpc.STAT,
                request.getKey(),
                answer,
                _ -> StatSnapshotResponse.newBuilder()
                        .setInfo(WireFormat.info(snapshotter.stat(request.getKey())))
                        .build());
    }

    @Override
    public void update(UpdateSnapshotRequest request, StreamObserver<UpdateSnapshotResponse> answer) {
        String key = request.getInfo().getName();
        calls.unary(Rpc.UPDATE, key, answer, _ -> {
            if (!request.hasInfo()) {
                throw new SnapshotException(
                        SnapshotException.Category.INVALID_ARGUMENT, "update names no snapshot: info is missing");
            }
            return UpdateSnapshotResponse.newBuilder()
                    .setInfo(WireFormat.info(snapshotter.update(
                            key,
                            request.getInfo().getLabelsMap(),
                            request.getUpdateMask().getPathsList())))
                    .build();
        });
    }

    @Override
    public void list(ListSnapshotsRequest request, StreamObserver<ListSnapshotsResponse> answer) {
        new ListStream(
                        (ServerCallStreamObserver<ListSnapshotsResponse>) answer,
                        () -> snapshotter.list(request.getFiltersList()),
                        calls,
                        timer,
                        ListStream.STALL_MILLIS)
                .start();
    }

    @Override
    public void usage(UsageRequest request, StreamObserver<UsageResponse> answer) {
        calls.unary(
                Rpc.USAGE,
                request.getKey(),
                answer,
                () -> snapshotter.recordedUsage(request.getKey()).map(SnapshotsService::response),
                cancellation -> response(snapshotter.usage(request.getKey(), cancellation)));
    }

    private static UsageResponse response(Usage usage) {
        return UsageResponse.newBuilder()
                .setSize(usage.sizeBytes())
                .setInodes(usage.inodes())
                .build();
    }

    @Override
    public void cleanup(CleanupRequest request, StreamObserver<Empty> answer) {
        calls.unary(Rpc.CLEANUP, "", answer, _ -> {
            snapshotter.cleanup();
            return Empty.getDefaultInstance();
        });
    }
}
