package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.RecordsCopy;
import io.github.volatilesnapshotter.snapshot.Snapshotter;
import io.grpc.Server;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.util.MutableHandlerRegistry;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.concurrent.ScheduledFuture;
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
    private static final int FLOW_CONTROL_WINDOW_BYTES = 1 << 20;
    private static final int MAXIMUM_CALLS_PER_CONNECTION = 1_000;
    private static final long KEEP_ALIVE_PERMITTED_SECONDS = 10;
    private static final Logger LOG = System.getLogger(UnixSocketServer.class.getName());

    private final Server server;
    private final SocketFile socket;
    private final Lanes lanes;
    private final Calls calls;
    private final EventLoopGroup eventLoops;
    private final ScheduledFuture<?> overdueCalls;
    private final HealthService health = new HealthService();
    private final MutableHandlerRegistry snapshots = new MutableHandlerRegistry();

    private UnixSocketServer(
            SocketFile socket,
            Config.Grpc settings,
            Config.Layers layers,
            ThreadPriority priority,
            Metrics metrics,
            EventLoopGroup eventLoops)
            throws IOException {
        this.socket = socket;
        this.eventLoops = eventLoops;
        this.lanes = new Lanes(settings.workerThreads(), settings.queueLength(), priority, metrics);
        CallBounds bounds = new CallBounds(settings.callTimeoutMillis(), layers.commitTimeoutMillis());
        this.calls = new Calls(lanes, bounds, metrics);
        PeerCheck peerCheck = new PeerCheck(settings.allowedUids(), metrics);
        this.server = NettyServerBuilder.forAddress(
                        new DomainSocketAddress(socket.temporaryPath().toFile()))
                .channelFactory(() -> listeningChannel(peerCheck))
                .bossEventLoopGroup(eventLoops)
                .workerEventLoopGroup(eventLoops)
                // grpc-java sets this TCP option, and netty warns of it for every unix connection.
                .withChildOption(ChannelOption.SO_KEEPALIVE, null)
                // The services hand over to their lanes themselves: one change of thread less for each call.
                .directExecutor()
                // A fixed window: to find a better one, grpc-java would send pings beside the calls.
                .flowControlWindow(FLOW_CONTROL_WINDOW_BYTES)
                .maxInboundMessageSize(MAXIMUM_MESSAGE_BYTES)
                .maxInboundMetadataSize(MAXIMUM_HEADER_BYTES)
                .maxConcurrentCallsPerConnection(MAXIMUM_CALLS_PER_CONNECTION)
                .permitKeepAliveTime(KEEP_ALIVE_PERMITTED_SECONDS, TimeUnit.SECONDS)
                .permitKeepAliveWithoutCalls(true)
                .addService(MalformedRequests.refusedBy(health.bindService()))
                .fallbackHandlerRegistry(snapshots)
                .build()
                .start();
        this.overdueCalls = eventLoops.scheduleWithFixedDelay(
                calls::answerOverdue, bounds.turnMillis(), bounds.turnMillis(), TimeUnit.MILLISECONDS);
    }

    /**
     * Makes the server, on a socket that has a temporary name until {@link #serve}. Nearly all the time that a start takes here is
     * spent in this method, so call it beside the start of the snapshotter.
     *
     * @param eventLoops epoll event loops, which stay the caller's
     * @throws IOException if the socket's path cannot be used, or somebody else listens there
     */
    public static UnixSocketServer open(
            Path address,
            Config.Grpc settings,
            Config.Layers layers,
            ThreadPriority priority,
            Metrics metrics,
            EventLoopGroup eventLoops)
            throws IOException {
        return new UnixSocketServer(SocketFile.claim(address), settings, layers, priority, metrics, eventLoops);
    }

    /**
     * Looks at a socket's path and nothing else.
     *
     * @throws IOException if it is too long for a socket, or names none
     */
    public static void checkAddress(Path address) throws IOException {
        SocketFile.checkPath(address);
    }

    /**
     * Gives the socket its name; from now on the snapshotter is served, and health says so.
     *
     * @throws IOException if the socket cannot be renamed
     */
    public void serve(Snapshotter snapshotter) throws IOException {
        SnapshotsService service = new SnapshotsService(snapshotter, calls, eventLoops);
        snapshots.addService(MalformedRequests.refusedBy(service.bindService()));
        health.setServing(true);
        socket.publish();
    }

    /** From now on this project's own service is served too; before {@link #serve}. */
    public void serveControl(RecordsCopy records) {
        snapshots.addService(MalformedRequests.refusedBy(new ControlService(records, calls).bindService()));
    }

    /** What the health service answers. */
    public void setServing(boolean serving) {
        health.setServing(serving);
    }

    /**
     * How the disk is on which the snapshots lie. While it does not answer, calls that need it get UNAVAILABLE at once, those that are
     * under way as well. Returns at once.
     *
     * @param condition for people: device, state and reason
     * @param answers whether what waits for it can be expected to end
     */
    public void diskIs(String condition, boolean answers) {
        eventLoops.execute(() -> calls.diskIs(condition, answers));
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
        boolean finished = lanes.stop(Math.max(0, leftMillis));
        overdueCalls.cancel(false);
        return finished && answered;
    }

    private static ServerChannel listeningChannel(PeerCheck peerCheck) {
        EpollServerDomainSocketChannel channel = new EpollServerDomainSocketChannel();
        channel.pipeline().addFirst(peerCheck);
        return channel;
    }
}
