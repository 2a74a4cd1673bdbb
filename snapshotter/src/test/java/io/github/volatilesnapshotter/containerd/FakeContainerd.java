package io.github.volatilesnapshotter.containerd;

import com.google.protobuf.Empty;
import io.github.volatilesnapshotter.proto.containerd.tasks.v1.KillRequest;
import io.github.volatilesnapshotter.proto.containerd.tasks.v1.TasksGrpc;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.Metadata;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.Status;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;

/** containerd's Tasks service on a socket: notes what it is asked, and answers as it is told. */
final class FakeContainerd implements AutoCloseable {
    /** What one Kill asked for. */
    record Kill(String namespace, KillRequest request) {}

    private static final Metadata.Key<String> NAMESPACE =
            Metadata.Key.of("containerd-namespace", Metadata.ASCII_STRING_MARSHALLER);
    private static final Context.Key<String> CALLED_IN = Context.key("namespace");

    final List<Kill> kills = new CopyOnWriteArrayList<>();

    private final Queue<Status> refusals = new ArrayDeque<>();
    private volatile Set<String> hanging = Set.of();
    private final Server server;

    FakeContainerd(Path socket, EventLoopGroup eventLoops) throws IOException {
        server = NettyServerBuilder.forAddress(new DomainSocketAddress(socket.toFile()))
                .channelType(EpollServerDomainSocketChannel.class)
                .bossEventLoopGroup(eventLoops)
                .workerEventLoopGroup(eventLoops)
                .withChildOption(ChannelOption.SO_KEEPALIVE, null)
                .addService(new Tasks())
                .intercept(new NamespaceHeader())
                .build()
                .start();
    }

    /** The next calls are refused with these, in order; after them every call succeeds. */
    synchronized void refuse(Status... statuses) {
        refusals.addAll(List.of(statuses));
    }

    /** Calls for these containers are not answered. */
    void hangOn(Set<String> containers) {
        hanging = containers;
    }

    @Override
    public void close() {
        server.shutdownNow();
    }

    private synchronized Status nextStatus() {
        Status refusal = refusals.poll();
        return refusal == null ? Status.OK : refusal;
    }

    private final class Tasks extends TasksGrpc.TasksImplBase {
        @Override
        public void kill(KillRequest request, StreamObserver<Empty> answer) {
            kills.add(new Kill(CALLED_IN.get(), request));
            if (hanging.contains(request.getContainerId())) {
                return;
            }
            Status status = nextStatus();
            if (status.isOk()) {
                answer.onNext(Empty.getDefaultInstance());
                answer.onCompleted();
            } else {
                answer.onError(status.asRuntimeException());
            }
        }
    }

    private static final class NamespaceHeader implements ServerInterceptor {
        @Override
        public <Q, A> ServerCall.Listener<Q> interceptCall(
                ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
            Context context = Context.current().withValue(CALLED_IN, String.valueOf(headers.get(NAMESPACE)));
            return Contexts.interceptCall(context, call, headers, next);
        }
    }
}
