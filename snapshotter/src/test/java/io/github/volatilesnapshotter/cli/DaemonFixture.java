package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc;
import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.ChannelOption;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.unix.DomainSocketAddress;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/** What tests of a whole daemon share. */
final class DaemonFixture {
    private DaemonFixture() {}

    /** The defaults, with {@code root} and {@code state} below the directory. */
    static Config configBelow(Path directory) {
        Config defaults = Config.defaults();
        return new Config(
                directory.resolve("root"),
                directory.resolve("state"),
                Optional.empty(),
                defaults.grpc(),
                defaults.volatileUppers(),
                defaults.layers(),
                defaults.watch(),
                defaults.poison(),
                defaults.containerd(),
                defaults.metrics(),
                defaults.usage(),
                defaults.log());
    }

    /** Prepares snapshots without a parent, as a client of the socket, each within 10 s. */
    static void prepare(Path socket, String... keys) {
        MultiThreadIoEventLoopGroup eventLoops = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
        ManagedChannel channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(socket.toFile()))
                .channelType(EpollDomainSocketChannel.class)
                .eventLoopGroup(eventLoops)
                .withOption(ChannelOption.SO_KEEPALIVE, null)
                .overrideAuthority("localhost")
                .usePlaintext()
                .build();
        try {
            for (String key : keys) {
                var _ = SnapshotsGrpc.newBlockingStub(channel)
                        .withDeadlineAfter(10, TimeUnit.SECONDS)
                        .prepare(PrepareSnapshotRequest.newBuilder().setKey(key).build());
            }
        } finally {
            channel.shutdownNow();
            eventLoops.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
        }
    }
}
