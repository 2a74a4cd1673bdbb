package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.bootstrap.Bootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.epoll.EpollDomainDatagramChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.unix.DomainDatagramPacket;
import io.netty.channel.unix.DomainSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class ServiceReadinessTest {
    @TempDir
    private Path directory;

    private final MultiThreadIoEventLoopGroup eventLoops =
            new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
    private final BlockingQueue<String> told = new LinkedBlockingQueue<>();

    @AfterEach
    void stop() {
        eventLoops.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
    }

    @Test
    void a_service_manager_is_told_the_states() throws InterruptedException {
        String socket = directory.resolve("notify").toString();
        listen(new DomainSocketAddress(socket));
        ServiceReadiness readiness = new ServiceReadiness(socket, eventLoops);

        readiness.tell(ServiceReadiness.READY);
        readiness.tell(ServiceReadiness.STOPPING);

        assertThat(told.poll(10, TimeUnit.SECONDS)).isEqualTo("READY=1");
        assertThat(told.poll(10, TimeUnit.SECONDS)).isEqualTo("STOPPING=1");
    }

    @Test
    void a_socket_in_the_abstract_namespace_is_found() throws InterruptedException {
        String name = "volatile-snapshotter-test-" + ProcessHandle.current().pid();
        listen(new DomainSocketAddress("\0" + name));

        new ServiceReadiness("@" + name, eventLoops).tell(ServiceReadiness.READY);

        assertThat(told.poll(10, TimeUnit.SECONDS)).isEqualTo("READY=1");
    }

    @Test
    void a_service_manager_that_is_gone_does_no_harm() {
        new ServiceReadiness(directory.resolve("nobody").toString(), eventLoops).tell(ServiceReadiness.READY);
        new ServiceReadiness(null, eventLoops).tell(ServiceReadiness.READY);
        new ServiceReadiness("", eventLoops).tell(ServiceReadiness.READY);
    }

    private void listen(DomainSocketAddress address) throws InterruptedException {
        Channel channel = new Bootstrap()
                .group(eventLoops)
                .channel(EpollDomainDatagramChannel.class)
                .handler(new SimpleChannelInboundHandler<DomainDatagramPacket>() {
                    @Override
                    protected void channelRead0(ChannelHandlerContext context, DomainDatagramPacket packet) {
                        told.add(packet.content().toString(StandardCharsets.UTF_8));
                    }
                })
                .bind(address)
                .sync()
                .channel();
        assertThat(channel.isActive()).isTrue();
    }
}
