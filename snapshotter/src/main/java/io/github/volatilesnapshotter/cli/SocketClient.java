package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageResponse;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckRequest;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckResponse.ServingStatus;
import io.github.volatilesnapshotter.proto.health.v1.HealthGrpc;
import io.github.volatilesnapshotter.proto.v1.BackupRequest;
import io.github.volatilesnapshotter.proto.v1.BackupResponse;
import io.github.volatilesnapshotter.proto.v1.ControlGrpc;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.ChannelOption;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.concurrent.TimeUnit;

/** Calls a daemon on its socket. Every call has a deadline, and throws {@link StatusRuntimeException}. */
final class SocketClient implements AutoCloseable {
    private static final long CALL_SECONDS = 30;
    private static final int MAXIMUM_MESSAGE_BYTES = 16 << 20;

    /** Nobody answers on the socket; the message says why. */
    static final class UnreachableException extends Exception {
        private static final long serialVersionUID = 1;

        private UnreachableException(String message, Throwable cause) {
            super(message, cause);
        }
    }

    private final long callSeconds;
    private final MultiThreadIoEventLoopGroup eventLoops;
    private final ManagedChannel channel;

    /**
     * Connects.
     *
     * @throws UnreachableException if nobody answers there
     */
    SocketClient(Path socket) throws UnreachableException {
        this(socket, CALL_SECONDS);
    }

    /** @param callSeconds the deadline of each call */
    SocketClient(Path socket, long callSeconds) throws UnreachableException {
        this.callSeconds = callSeconds;
        // gRPC tells "io exception" whatever is wrong; the system's own connect says what.
        try (SocketChannel probe = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            // Blocking, the kernel would wait without bound for room in the listener's backlog.
            probe.configureBlocking(false);
            probe.connect(UnixDomainSocketAddress.of(socket));
        } catch (IOException e) {
            throw new UnreachableException("nobody answers on " + socket + ": " + e.getMessage(), e);
        }
        eventLoops = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
        channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(socket.toFile()))
                .channelType(EpollDomainSocketChannel.class)
                .eventLoopGroup(eventLoops)
                .withOption(ChannelOption.SO_KEEPALIVE, null)
                .overrideAuthority("localhost")
                .maxInboundMessageSize(MAXIMUM_MESSAGE_BYTES)
                .usePlaintext()
                .directExecutor()
                .build();
    }

    Iterator<ListSnapshotsResponse> list() {
        return snapshots().list(ListSnapshotsRequest.getDefaultInstance());
    }

    Info stat(String key) {
        return snapshots()
                .stat(StatSnapshotRequest.newBuilder().setKey(key).build())
                .getInfo();
    }

    UsageResponse usage(String key) {
        return snapshots().usage(UsageRequest.newBuilder().setKey(key).build());
    }

    Iterator<BackupResponse> backup() {
        return ControlGrpc.newBlockingStub(channel)
                .withDeadlineAfter(callSeconds, TimeUnit.SECONDS)
                .backup(BackupRequest.getDefaultInstance());
    }

    ServingStatus health() {
        return HealthGrpc.newBlockingStub(channel)
                .withDeadlineAfter(callSeconds, TimeUnit.SECONDS)
                .check(HealthCheckRequest.getDefaultInstance())
                .getStatus();
    }

    @Override
    public void close() {
        channel.shutdownNow();
        eventLoops.shutdownGracefully(0, 1, TimeUnit.SECONDS).awaitUninterruptibly(1, TimeUnit.SECONDS);
    }

    /** Its deadline begins now. */
    SnapshotsGrpc.SnapshotsBlockingStub snapshots() {
        return SnapshotsGrpc.newBlockingStub(channel).withDeadlineAfter(callSeconds, TimeUnit.SECONDS);
    }
}
