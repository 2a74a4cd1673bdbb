package io.github.volatilesnapshotter.containerd;

import io.github.volatilesnapshotter.proto.containerd.tasks.v1.KillRequest;
import io.github.volatilesnapshotter.proto.containerd.tasks.v1.TasksGrpc;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.MetadataUtils;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * containerd's Tasks service on containerd's own socket. Connects at the first call. Calls block: never call from the thread
 * of an RPC of ours, because containerd may hold a lock until that RPC is answered.
 */
final class Tasks implements AutoCloseable {
    private static final int SIGKILL = 9;

    // containerd/v2/pkg/namespaces: the header that names the namespace of a call.
    private static final Metadata.Key<String> NAMESPACE =
            Metadata.Key.of("containerd-namespace", Metadata.ASCII_STRING_MARSHALLER);

    private final Path socket;
    private final long callTimeoutMillis;
    private final EventLoopGroup eventLoops;
    private @Nullable ManagedChannel channel;
    private boolean closed;

    Tasks(Path socket, long callTimeoutMillis, EventLoopGroup eventLoops) {
        this.socket = socket;
        this.callTimeoutMillis = callTimeoutMillis;
        this.eventLoops = eventLoops;
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
        TasksGrpc.newBlockingStub(channel())
                .withInterceptors(MetadataUtils.newAttachHeadersInterceptor(headers))
                .withDeadlineAfter(callTimeoutMillis, TimeUnit.MILLISECONDS)
                .kill(request);
    }

    /** Tries again at the next call at once, instead of waiting out the channel's own backoff, which grows to two minutes. */
    void forgetBackoff() {
        channel().resetConnectBackoff();
    }

    @Override
    public synchronized void close() {
        closed = true;
        if (channel != null) {
            channel.shutdownNow();
        }
    }

    /** Made at the first call: most daemons never make one, and the client's classes would only slow the start down. */
    private synchronized ManagedChannel channel() {
        if (closed) {
            throw Status.UNAVAILABLE.withDescription("closed").asRuntimeException();
        }
        if (channel == null) {
            channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(socket.toFile()))
                    .channelType(EpollDomainSocketChannel.class)
                    .eventLoopGroup(eventLoops)
                    // grpc-java sets this TCP option, and netty warns of it for every unix connection.
                    .withOption(ChannelOption.SO_KEEPALIVE, null)
                    // What Go's client sends for a unix socket; a path is no valid authority.
                    .overrideAuthority("localhost")
                    .usePlaintext()
                    .directExecutor()
                    .build();
        }
        return channel;
    }
}
