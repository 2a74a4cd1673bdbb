package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.FakeSnapshotter;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.nio.file.Path;

/** The server above a snapshotter without mounts or disk, to measure what an RPC costs: {@code BareServer SOCKET}. */
final class BareServer {
    private BareServer() {}

    public static void main(String[] arguments) throws Exception {
        UnixSocketServer server = UnixSocketServer.open(
                Path.of(arguments[0]),
                Config.defaults().grpc(),
                Config.defaults().layers(),
                (_, work) -> work.run(),
                new Metrics(),
                new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory()));
        server.serve(new FakeSnapshotter());
        Thread.currentThread().join();
    }
}
