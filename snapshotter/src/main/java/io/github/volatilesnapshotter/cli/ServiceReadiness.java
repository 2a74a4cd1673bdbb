package io.github.volatilesnapshotter.cli;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.epoll.EpollDomainDatagramChannel;
import io.netty.channel.unix.DomainSocketAddress;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Tells systemd, or whoever set {@code NOTIFY_SOCKET}, how the service is doing: sd_notify(3). */
final class ServiceReadiness {
    static final String READY = "READY=1";
    static final String STOPPING = "STOPPING=1";

    private static final long SEND_SECONDS = 1;
    private static final Logger LOG = System.getLogger(ServiceReadiness.class.getName());

    private final @Nullable String socket;
    private final EventLoopGroup eventLoops;

    /**
     * @param socket the value of {@code NOTIFY_SOCKET}, null or empty if nobody waits to be told
     */
    ServiceReadiness(@Nullable String socket, EventLoopGroup eventLoops) {
        this.socket = socket;
        this.eventLoops = eventLoops;
    }

    /** Sends the state; a failure is logged, because the service runs all the same. */
    void tell(String state) {
        if (socket == null || socket.isEmpty()) {
            return;
        }
        // A leading @ stands for the NUL of the abstract namespace.
        DomainSocketAddress address =
                new DomainSocketAddress(socket.startsWith("@") ? "\0" + socket.substring(1) : socket);
        try {
            ChannelFuture connected = new Bootstrap()
                    .group(eventLoops)
                    .channel(EpollDomainDatagramChannel.class)
                    .handler(new ChannelInboundHandlerAdapter())
                    .connect(address);
            if (succeeded(state, connected)) {
                Channel channel = connected.channel();
                succeeded(state, channel.writeAndFlush(Unpooled.copiedBuffer(state, StandardCharsets.UTF_8)));
                channel.close().await(SEND_SECONDS, TimeUnit.SECONDS);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static boolean succeeded(String state, ChannelFuture step) throws InterruptedException {
        boolean ended = step.await(SEND_SECONDS, TimeUnit.SECONDS);
        if (ended && step.isSuccess()) {
            return true;
        }
        LOG.log(
                Level.WARNING,
                "service manager could not be told",
                "state",
                state,
                "failure",
                ended ? step.cause() : "no answer in " + SEND_SECONDS + " s");
        return false;
    }
}
