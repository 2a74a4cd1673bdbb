package io.github.volatilesnapshotter.containerd;

import io.github.volatilesnapshotter.proto.containerd.tasks.v1.KillRequest;
import io.github.volatilesnapshotter.proto.containerd.tasks.v1.TasksGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/**
 * containerd's Tasks service on containerd's own socket. Connects at the first call. Calls block: never call from the thread
 * of an RPC of ours, because containerd may hold a lock until that RPC is answered.
 */
final class Tasks implements AutoCloseable {
    private static final int SIGKILL = 9;

    // containerd/v2/pkg/namespaces: the header that names the namespace of a call.
    private static final Metadata.Key<String> NAMESPACE =
            Metadata.Key.of("containerd-namespace", Metadata.ASCII_STRING_MARSHALLER);

    private final ManagedChannel channel;
    private final long callTimeoutMillis;

    private Tasks(ManagedChannel channel, long callTimeoutMillis) {
        this.channel = channel;
        this.callTimeoutMillis = callTimeoutMillis;
    }

    static Tasks at(Path socket, long callTimeoutMillis, EventLoopGroup eventLoops) {
        ManagedChannel channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(socket.toFile()))
                .channelType(EpollDomainSocketChannel.class)
                .eventLoopGroup(eventLoops)
                // grpc-java sets this TCP option, and netty warns of it for every unix connection.
                .withOption(ChannelOption.SO_KEEPALIVE, null)
                // What Go's client sends for a unix socket; a path is no valid authority.
                .overrideAuthority("localhost")
                .usePlaintext()
                .directExecutor()
                .build();
        return new Tasks(channel, callTimeoutMillis);
    }

    /**
     * Sends SIGKILL to every process of the container's task; returns when containerd has sent it.
     *
     * @throws StatusRuntimeException NOT_FOUND if the container has no running task, UNAVAILABLE while containerd is away
     */
    void killAll(String namespace, String containerId) {
        Metadata headers = new Metadata();
        headers.put(NAMESPACE, namespace);
        KillRequest request = KillRequest.newBuilder()
                .setContainerId(containerId)
                .setSignal(SIGKILL)
                .setAll(true)
                .build();
        TasksGrpc.newBlockingStub(channel)
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
                .withDeadlineAfter(callTimeoutMillis, TimeUnit.MILLISECONDS)
                .kill(request);
    }

    /** Tries again at the next call at once, instead of waiting out the channel's own backoff, which grows to two minutes. */
    void forgetBackoff() {
        channel.resetConnectBackoff();
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }
}
