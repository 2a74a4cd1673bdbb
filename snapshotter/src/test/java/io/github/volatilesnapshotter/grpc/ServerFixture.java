package io.github.volatilesnapshotter.grpc;

import com.sun.security.auth.module.UnixSystem;
import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.Snapshotter;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.ChannelOption;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** A running server on a socket in a directory of the test's, and clients of it. */
public final class ServerFixture implements AutoCloseable {
    public static final Config.Grpc SETTINGS = new Config.Grpc(Set.of(ownUid()), 4, 64, 60_000, 1_000);

    final Metrics metrics = new Metrics();
    public final Path socket;
    public final UnixSocketServer server;

    private final MultiThreadIoEventLoopGroup eventLoops =
            new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
    private final List<ManagedChannel> channels = new ArrayList<>();
    private boolean stopped;

    public ServerFixture(Path directory, Snapshotter snapshotter) throws IOException {
        this(directory, snapshotter, SETTINGS);
    }

    ServerFixture(Path directory, Snapshotter snapshotter, Config.Grpc settings) throws IOException {
        socket = directory.resolve("test.sock");
        server = UnixSocketServer.open(
                socket,
                settings,
                new Config.Layers(Config.Layers.Sync.AUTO, 0, 1_000),
                (_, work) -> work.run(),
                metrics,
                eventLoops);
        server.serve(snapshotter);
    }

    ManagedChannel connect() {
        ManagedChannel channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(socket.toFile()))
                .channelType(EpollDomainSocketChannel.class)
                .eventLoopGroup(eventLoops)
                .withOption(ChannelOption.SO_KEEPALIVE, null)
                .overrideAuthority("localhost")
                .usePlaintext()
                .maxInboundMessageSize(UnixSocketServer.MAXIMUM_MESSAGE_BYTES)
                .build();
        channels.add(channel);
        return channel;
    }

    boolean stop(long timeoutMillis) throws IOException, InterruptedException {
        stopped = true;
        return server.stop(timeoutMillis);
    }

    @Override
    public void close() throws IOException {
        try {
            channels.forEach(ManagedChannel::shutdownNow);
            if (!stopped) {
                server.stop(0);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            eventLoops.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
            metrics.close();
        }
    }

    static int ownUid() {
        return Math.toIntExact(new UnixSystem().getUid());
    }
}
