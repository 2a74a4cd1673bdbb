package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.metrics.Metrics;
import io.netty.channel.ChannelHandler.Sharable;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.unix.PeerCredentials;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/**
 * Closes connections from processes whose uid is not allowed, before a byte is read. Stands first in the pipeline of the
 * listening channel, where a message is an accepted connection that is not registered with its event loop yet. The uid is what the
 * kernel noted at connect (SO_PEERCRED, unix(7)).
 */
@Sharable
final class PeerCheck extends ChannelInboundHandlerAdapter {
    private static final Logger LOG = System.getLogger(PeerCheck.class.getName());
    private static final long LOG_EVERY_NANOS = TimeUnit.SECONDS.toNanos(10);

    private final Set<Integer> allowedUids;
    private final Metrics metrics;
    // Only the event loop touches these.
    private long lastLoggedNanos = System.nanoTime() - LOG_EVERY_NANOS;
    private long rejectedSinceLogged;

    PeerCheck(Set<Integer> allowedUids, Metrics metrics) {
        this.allowedUids = Set.copyOf(allowedUids);
        this.metrics = metrics;
    }

    @Override
    public void channelRead(ChannelHandlerContext context, Object accepted) {
        if (accepted instanceof EpollDomainSocketChannel connection && isAllowed(connection)) {
            context.fireChannelRead(accepted);
        }
    }

    private boolean isAllowed(EpollDomainSocketChannel connection) {
        PeerCredentials peer;
        try {
            peer = connection.peerCredentials();
        } catch (IOException e) {
            reject(connection, "its credentials cannot be read: " + e.getMessage());
            return false;
        }
        if (allowedUids.contains(peer.uid())) {
            return true;
        }
        reject(connection, "uid " + peer.uid() + " (pid " + peer.pid() + ") is not in grpc.allowed_uids");
        return false;
    }

    private void reject(EpollDomainSocketChannel connection, String reason) {
        metrics.peerRejected();
        // An ordinary close() needs the event loop that this channel does not have yet.
        connection.unsafe().closeForcibly();
        rejectedSinceLogged++;
        long now = System.nanoTime();
        if (now - lastLoggedNanos >= LOG_EVERY_NANOS) {
            LOG.log(
                    Level.WARNING,
                    "connection refused",
                    "reason",
                    reason,
                    "refused_since_last_line",
                    rejectedSinceLogged);
            lastLoggedNanos = now;
            rejectedSinceLogged = 0;
        }
    }
}
