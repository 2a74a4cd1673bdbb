package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.Snapshotter;
import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/**
 * Serves the Snapshots and the health service on a unix socket. One event loop reads, parses and writes; handlers run on
 * {@link Lanes}. All bounds a client can reach are set here or in {@link Lanes}.
 */
public final class UnixSocketServer {
    /** What containerd's own server and clients take ({@code defaults.DefaultMaxRecvMsgSize}). */
    static final int MAXIMUM_MESSAGE_BYTES = 16 << 20;

    // Keys and labels travel in messages; a header holds a namespace and, at most, a trace.
    private static final int MAXIMUM_HEADER_BYTES = 16 << 10;
    private static final int MAXIMUM_CALLS_PER_CONNECTION = 1_000;
    private static final long KEEP_ALIVE_PERMITTED_SECONDS = 10;
    private static final Logger LOG = System.getLogger(UnixSocketServer.class.getName());

    private final Server server;
    private final SocketFile socket;
    private final Lanes lanes;
    private final HealthService health;

    private UnixSocketServer(Server server, SocketFile socket, Lanes lanes, HealthService health) {
        this.server = server;
        this.socket = socket;
        this.lanes = lanes;
        this.health = health;
    }

    /**
     * Listens; health is NOT_SERVING until {@link #setServing}.
     *
     * @param eventLoops epoll event loops, which stay the caller's
     * @throws IOException if the socket's path cannot be used, or somebody else listens there
     */
    public static UnixSocketServer start(
            Path address, Config.Grpc settings, Snapshotter snapshotter, Metrics metrics, EventLoopGroup eventLoops)
            throws IOException {
        SocketFile socket = SocketFile.claim(address);
        Lanes lanes = new Lanes(settings.workerThreads(), settings.queueLength(), metrics);
        HealthService health = new HealthService();
        PeerCheck peerCheck = new PeerCheck(settings.allowedUids(), metrics);
        SnapshotsService snapshots = new SnapshotsService(snapshotter, new Calls(lanes, metrics), eventLoops);
        Server server = NettyServerBuilder.forAddress(
                        new DomainSocketAddress(socket.temporaryPath().toFile()))
                .channelFactory(() -> listeningChannel(peerCheck))
                .bossEventLoopGroup(eventLoops)
                .workerEventLoopGroup(eventLoops)
                // grpc-java sets this TCP option, and netty warns of it for every unix connection.
                .withChildOption(ChannelOption.SO_KEEPALIVE, null)
                // The services hand over to their lanes themselves: one change of thread less for each call.
                .directExecutor()
                .maxInboundMessageSize(MAXIMUM_MESSAGE_BYTES)
                .maxInboundMetadataSize(MAXIMUM_HEADER_BYTES)
                .maxConcurrentCallsPerConnection(MAXIMUM_CALLS_PER_CONNECTION)
                .permitKeepAliveTime(KEEP_ALIVE_PERMITTED_SECONDS, TimeUnit.SECONDS)
                .permitKeepAliveWithoutCalls(true)
                .addService(MalformedRequests.refusedBy(snapshots.bindService()))
                .addService(MalformedRequests.refusedBy(health.bindService()))
                .build()
                .start();
        try {
            socket.publish();
        } catch (IOException e) {
            server.shutdownNow();
            throw e;
        }
        return new UnixSocketServer(server, socket, lanes, health);
    }

    /** What the health service answers. */
    public void setServing(boolean serving) {
        health.setServing(serving);
    }

    /** Whether the health service answers SERVING. */
    public boolean isServing() {
        return health.isServing();
    }

    /**
     * Accepts no more connections, lets accepted calls finish, and closes what is left after the time. The socket's file is removed
     * if it is still ours. To be called once.
     *
     * @return whether every accepted call was answered
     * @throws IOException if the socket's file could not be removed; everything else was stopped
     */
    public boolean stop(long timeoutMillis) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(timeoutMillis);
        health.stop();
        boolean answered;
        try {
            socket.withdraw();
        } finally {
            answered = stopCalls(timeoutMillis, deadline);
        }
        return answered;
    }

    private boolean stopCalls(long timeoutMillis, long deadlineNanos) throws InterruptedException {
        server.shutdown();
        boolean answered = server.awaitTermination(deadlineNanos - System.nanoTime(), TimeUnit.NANOSECONDS);
        if (!answered) {
            LOG.log(Level.WARNING, "calls cancelled: they outlasted the stop", "timeout_millis", timeoutMillis);
            server.shutdownNow();
        }
        long leftMillis = TimeUnit.NANOSECONDS.toMillis(deadlineNanos - System.nanoTime());
        return lanes.stop(Math.max(0, leftMillis)) && answered;
    }

    private static ServerChannel listeningChannel(PeerCheck peerCheck) {
        EpollServerDomainSocketChannel channel = new EpollServerDomainSocketChannel();
        channel.pipeline().addFirst(peerCheck);
        return channel;
    }
}
