package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import com.google.common.util.concurrent.ListenableFuture;
import com.google.protobuf.Empty;
import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.ListenAddress;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.ReadOnlyTracefs;
import io.github.volatilesnapshotter.linux.ThreadsByName;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CommitSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsResponse;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.MountsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.RemoveSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc.SnapshotsBlockingStub;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc.SnapshotsFutureStub;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageRequest;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckRequest;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckResponse.ServingStatus;
import io.github.volatilesnapshotter.proto.health.v1.HealthGrpc;
import io.github.volatilesnapshotter.snapshot.Labels;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.ChannelOption;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.unix.DomainSocketAddress;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.StreamHandler;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The whole daemon, on a disk that hangs or fails. */
@Tag("kernel")
@Timeout(180)
class SickDiskTest {
    private static final Duration RECOVERY = Duration.ofSeconds(60);

    /** 1 s until the write probe counts as hung, and some for the machine; far below the bound of a call. */
    private static final long ANSWER_SECONDS = 20;

    private final MultiThreadIoEventLoopGroup eventLoops =
            new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());

    @TempDir
    private Path state;

    private Disk disk;
    private Config config;
    private Daemon daemon;
    private ManagedChannel channel;

    /** @param made closed after the test */
    private <D extends Disk> D start(D made) throws Exception {
        disk = made;
        Config defaults = Config.defaults();
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        config = new Config(
                disk.root().resolve("root"),
                state,
                Optional.empty(),
                new Config.Grpc(Set.of(0), 2, 64, 60_000, 1_000),
                defaults.volatileUppers(),
                defaults.layers(),
                new Config.Watch(100, 200, 1_000),
                defaults.poison(),
                defaults.containerd(),
                new Config.Metrics(Optional.of(ListenAddress.parse("127.0.0.1:" + port))),
                defaults.usage(),
                defaults.log());
        daemon = new Daemon(config, false);
        daemon.start();
        connect();
        layer("layer");
        layer("spare");
        prepare("ns/1/container", "layer").get();
        prepare("ns/1/extract-next", "layer").get();
        return made;
    }

    @AfterEach
    void stop() throws Exception {
        try (Disk closing = disk) {
            closing.heal();
            channel.shutdownNow();
            daemon.stop();
        } finally {
            eventLoops.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
        }
    }

    @Test
    void calls_in_flight_are_answered_others_go_on_and_after_it_heals_nothing_is_lost() throws Exception {
        start(FuseDisk.create(Disk.FileSystem.EXT4)).hang();

        callsInFlightAreAnswered();

        assertWhatNeedsNoDiskAnswers();
        assertThat(failure(prepare("ns/1/refused", "layer")).getDescription()).contains("is hung");
        assertThat(metrics()).contains("rpc_held_threads{lane=\"commit\"} 1.0");

        disk.heal();
        await().atMost(RECOVERY)
                .ignoreExceptions()
                .untilAsserted(() -> prepare("ns/1/after", "layer").get());
        await().atMost(RECOVERY)
                .untilAsserted(() -> assertThat(metrics())
                        .contains("rpc_held_threads{lane=\"change\"} 0.0")
                        .contains("rpc_held_threads{lane=\"commit\"} 0.0"));
        assertThat(isServing()).isTrue();
        assertNothingIsLost();
        // Its caller was told that it is not committed.
        commit("ns/1/extract-next", "next").get();
        layer("later");
    }

    @Test
    void a_stop_ends_and_when_the_disk_has_healed_the_next_daemon_finds_everything() throws Exception {
        start(FuseDisk.create(Disk.FileSystem.EXT4)).hang();
        callsInFlightAreAnswered();

        long begunNanos = System.nanoTime();
        assertThatExceptionOfType(Exception.class).isThrownBy(daemon::stop);
        assertThat(Duration.ofNanos(System.nanoTime() - begunNanos)).isLessThan(Duration.ofSeconds(28));
        assertThat(daemon.state()).isEqualTo(Daemon.State.STOPPED);

        disk.heal();
        channel.shutdownNow();
        await().atMost(RECOVERY).ignoreExceptions().untilAsserted(() -> {
            daemon = new Daemon(config, false);
            daemon.start();
        });
        connect();
        assertNothingIsLost();
        layer("later");
    }

    @Test
    void health_follows_a_disk_that_fails_and_heals() throws Exception {
        start(FaultyDisk.create(Disk.FileSystem.EXT4));
        assertThat(stat("ns/1/container").getLabelsMap()).isEmpty();
        assertThat(ThreadsByName.niceness("rpc-read-")).containsExactly(0);
        loseAWrite("ns/1/container");

        await().atMost(RECOVERY).until(() -> !isServing());
        assertThat(ThreadsByName.niceness("rpc-read-")).containsExactly(-10);
        // Of another lane, and begun by the event loop while that goes ahead.
        client().usage(UsageRequest.newBuilder().setKey("ns/1/container").build())
                .get();
        assertThat(ThreadsByName.niceness("rpc-disk-")).containsExactly(0);
        assertThat(ThreadsByName.niceness("rpc-change-")).containsExactly(0);
        assertThat(metrics()).contains("state=\"failed\"} 1.0");
        assertThat(stat("ns/1/container").getLabelsMap()).containsKey(Labels.POISONED);

        disk.heal();
        await().atMost(RECOVERY).until(this::isServing);
        assertThat(metrics()).contains("state=\"healthy\"} 1.0");
        await().atMost(RECOVERY)
                .untilAsserted(
                        () -> assertThat(ThreadsByName.niceness("rpc-read-")).containsExactly(0));
        layer("later");
    }

    @Test
    void without_the_kernels_trace_one_line_says_so_and_errors_are_found_all_the_same() throws Exception {
        start(FaultyDisk.create(Disk.FileSystem.EXT4));
        List<String> said = new CopyOnWriteArrayList<>();
        Handler handler = new StreamHandler() {
            @Override
            public void publish(LogRecord line) {
                said.add(line.getMessage());
            }
        };
        Logger signals = Logger.getLogger("io.github.volatilesnapshotter.superblock");
        daemon.stop();
        channel.shutdownNow();
        signals.addHandler(handler);
        try (var _ = ReadOnlyTracefs.mount()) {
            daemon = new Daemon(config, false);
            daemon.start();
            connect();
            assertThat(metrics()).contains("error_trace 0.0");

            loseAWrite("ns/1/container");

            await().atMost(RECOVERY).until(() -> stat("ns/1/container").containsLabels(Labels.POISONED));
            disk.heal();
            await().atMost(RECOVERY).until(this::isServing);
        } finally {
            signals.removeHandler(handler);
        }
        assertThat(said).filteredOn(line -> line.startsWith("no error trace")).hasSize(1);
    }

    private void loseAWrite(String key) throws Exception {
        Path merged =
                Path.of(client().mounts(MountsRequest.newBuilder().setKey(key).build())
                        .get()
                        .getMounts(0)
                        .getSource());
        disk.startFailing();
        Disk.writeDirty(merged.resolve("data"), 1 << 20);
        assertThatExceptionOfType(IOException.class)
                .isThrownBy(() -> Disk.fsync(merged.resolveSibling("fs").resolve("data")));
    }

    private Info stat(String key) throws Exception {
        return client().stat(StatSnapshotRequest.newBuilder().setKey(key).build())
                .get()
                .getInfo();
    }

    /** More than there are threads. A Commit waits for the disk; of the others, what was done in memory before that was in the way succeeds. */
    private void callsInFlightAreAnswered() throws Exception {
        List<ListenableFuture<?>> others = new ArrayList<>();
        ListenableFuture<?> commit = commit("ns/1/extract-next", "next");
        others.add(remove("spare"));
        for (int i = 0; i < 5; i++) {
            others.add(prepare("ns/1/held-" + i, "layer"));
        }
        assertSaysHung(failure(commit));
        for (ListenableFuture<?> call : others) {
            try {
                call.get(ANSWER_SECONDS, TimeUnit.SECONDS);
            } catch (ExecutionException _) {
                assertSaysHung(failure(call));
            }
        }
    }

    private static void assertSaysHung(Status status) {
        assertThat(status.getCode()).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(status.getDescription()).contains("is hung");
    }

    private void assertWhatNeedsNoDiskAnswers() throws Exception {
        SnapshotsBlockingStub client =
                SnapshotsGrpc.newBlockingStub(channel).withDeadlineAfter(ANSWER_SECONDS, TimeUnit.SECONDS);
        long begunNanos = System.nanoTime();
        client.stat(StatSnapshotRequest.newBuilder().setKey("ns/1/container").build());
        client.mounts(MountsRequest.newBuilder().setKey("ns/1/container").build());
        client.usage(UsageRequest.newBuilder().setKey("layer").build());
        assertThat(keys()).contains("layer", "ns/1/container");
        assertThat(isServing()).isFalse();
        assertThat(metrics())
                .contains("state=\"hung\"} 1.0")
                .containsPattern("rpc_abandoned_total\\{method=\"Commit\"} 1");
        assertThat(Duration.ofNanos(System.nanoTime() - begunNanos)).isLessThan(Duration.ofSeconds(5));
    }

    private void assertNothingIsLost() throws Exception {
        assertThat(keys()).contains("layer", "ns/1/container", "ns/1/extract-next");
        assertThat(stat("ns/1/container").getLabelsMap()).isEmpty();
    }

    private List<String> keys() {
        List<String> keys = new ArrayList<>();
        SnapshotsGrpc.newBlockingStub(channel)
                .withDeadlineAfter(ANSWER_SECONDS, TimeUnit.SECONDS)
                .list(ListSnapshotsRequest.getDefaultInstance())
                .forEachRemaining((ListSnapshotsResponse batch) ->
                        batch.getInfoList().stream().map(Info::getName).forEach(keys::add));
        return keys;
    }

    private boolean isServing() {
        return HealthGrpc.newBlockingStub(channel)
                        .withDeadlineAfter(ANSWER_SECONDS, TimeUnit.SECONDS)
                        .check(HealthCheckRequest.getDefaultInstance())
                        .getStatus()
                == ServingStatus.SERVING;
    }

    private String metrics() throws Exception {
        String address = config.metrics().address().orElseThrow().toString();
        try (var text = URI.create("http://" + address + "/metrics").toURL().openStream()) {
            return new String(text.readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private void layer(String name) throws Exception {
        String key = "ns/" + System.nanoTime() + "/extract-" + name;
        prepare(key, "").get();
        commit(key, name).get();
    }

    private ListenableFuture<Empty> commit(String key, String name) {
        return client().commit(CommitSnapshotRequest.newBuilder()
                .setKey(key)
                .setName(name)
                .build());
    }

    private ListenableFuture<?> prepare(String key, String parent) {
        return client().prepare(PrepareSnapshotRequest.newBuilder()
                .setKey(key)
                .setParent(parent)
                .build());
    }

    private ListenableFuture<Empty> remove(String key) {
        return client().remove(RemoveSnapshotRequest.newBuilder().setKey(key).build());
    }

    private SnapshotsFutureStub client() {
        return SnapshotsGrpc.newFutureStub(channel).withDeadlineAfter(RECOVERY.toSeconds(), TimeUnit.SECONDS);
    }

    private static Status failure(ListenableFuture<?> call) {
        List<Status> statuses = new ArrayList<>();
        assertThatExceptionOfType(ExecutionException.class)
                .isThrownBy(() -> call.get(ANSWER_SECONDS, TimeUnit.SECONDS))
                .havingCause()
                .isInstanceOfSatisfying(StatusRuntimeException.class, e -> statuses.add(e.getStatus()));
        return statuses.getFirst();
    }

    private void connect() {
        channel = NettyChannelBuilder.forAddress(
                        new DomainSocketAddress(config.socket().toFile()))
                .channelType(EpollDomainSocketChannel.class)
                .eventLoopGroup(eventLoops)
                .withOption(ChannelOption.SO_KEEPALIVE, null)
                .overrideAuthority("localhost")
                .usePlaintext()
                .build();
    }
}
