package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CleanupRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CommitSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.MountsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.RemoveSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UpdateSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ViewSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.types.Mount;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The Snapshots service over its socket, as a containerd would call it, with a deadline for each call. May be shared by threads. */
final class Client implements AutoCloseable {
    private static final long DEADLINE_SECONDS = 90;
    private static final int MAXIMUM_MESSAGE_BYTES = 64 << 20;
    private static final String SNAPSHOTTER = "volatile";

    private final ManagedChannel channel;

    Client(Path socket, EventLoopGroup eventLoops) {
        channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(socket.toFile()))
                .channelType(EpollDomainSocketChannel.class)
                .eventLoopGroup(eventLoops)
                .withOption(ChannelOption.SO_KEEPALIVE, null)
                .overrideAuthority("localhost")
                .usePlaintext()
                .maxInboundMessageSize(MAXIMUM_MESSAGE_BYTES)
                .build();
    }

    /** Whether a call failed because the server has gone: what it did is not known. An answer of the server is none of these. */
    static boolean isLost(StatusRuntimeException failure) {
        return failure.getStatus().getCause() != null
                || String.valueOf(failure.getStatus().getDescription()).startsWith("Network closed");
    }

    List<Mount> prepare(String key, String parent, Map<String, String> labels) {
        return stub().prepare(PrepareSnapshotRequest.newBuilder()
                        .setSnapshotter(SNAPSHOTTER)
                        .setKey(key)
                        .setParent(parent)
                        .putAllLabels(labels)
                        .build())
                .getMountsList();
    }

    List<Mount> view(String key, String parent, Map<String, String> labels) {
        return stub().view(ViewSnapshotRequest.newBuilder()
                        .setSnapshotter(SNAPSHOTTER)
                        .setKey(key)
                        .setParent(parent)
                        .putAllLabels(labels)
                        .build())
                .getMountsList();
    }

    List<Mount> mounts(String key) {
        return stub().mounts(MountsRequest.newBuilder()
                        .setSnapshotter(SNAPSHOTTER)
                        .setKey(key)
                        .build())
                .getMountsList();
    }

    /** @param parent of a rebase, or empty */
    void commit(String name, String key, String parent, Map<String, String> labels) {
        stub().commit(CommitSnapshotRequest.newBuilder()
                .setSnapshotter(SNAPSHOTTER)
                .setName(name)
                .setKey(key)
                .setParent(parent)
                .putAllLabels(labels)
                .build());
    }

    void remove(String key) {
        stub().remove(RemoveSnapshotRequest.newBuilder()
                .setSnapshotter(SNAPSHOTTER)
                .setKey(key)
                .build());
    }

    Info stat(String key) {
        return stub().stat(StatSnapshotRequest.newBuilder()
                        .setSnapshotter(SNAPSHOTTER)
                        .setKey(key)
                        .build())
                .getInfo();
    }

    void update(String key, String label, String value) {
        UpdateSnapshotRequest.Builder request =
                UpdateSnapshotRequest.newBuilder().setSnapshotter(SNAPSHOTTER);
        request.getInfoBuilder().setName(key).putLabels(label, value);
        request.getUpdateMaskBuilder().addPaths("labels." + label);
        stub().update(request.build());
    }

    List<Info> list(String... filters) {
        List<Info> all = new ArrayList<>();
        stub().list(ListSnapshotsRequest.newBuilder()
                        .setSnapshotter(SNAPSHOTTER)
                        .addAllFilters(List.of(filters))
                        .build())
                .forEachRemaining((ListSnapshotsResponse part) -> all.addAll(part.getInfoList()));
        return all;
    }

    void usage(String key) {
        stub().usage(UsageRequest.newBuilder()
                .setSnapshotter(SNAPSHOTTER)
                .setKey(key)
                .build());
    }

    void cleanup() {
        stub().cleanup(CleanupRequest.newBuilder().setSnapshotter(SNAPSHOTTER).build());
    }

    private SnapshotsGrpc.SnapshotsBlockingStub stub() {
        return SnapshotsGrpc.newBlockingStub(channel).withDeadlineAfter(DEADLINE_SECONDS, TimeUnit.SECONDS);
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }
}
