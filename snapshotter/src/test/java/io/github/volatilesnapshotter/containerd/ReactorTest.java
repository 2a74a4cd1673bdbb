package io.github.volatilesnapshotter.containerd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.Config.Poison.Mode;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.metrics.Scrapes;
import io.github.volatilesnapshotter.proto.containerd.tasks.v1.KillRequest;
import io.github.volatilesnapshotter.snapshot.Poisoning;
import io.grpc.Status;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class ReactorTest {
    @TempDir
    private Path directory;

    private final MultiThreadIoEventLoopGroup eventLoops =
            new MultiThreadIoEventLoopGroup(2, EpollIoHandler.newFactory());
    private final Metrics metrics = new Metrics();
    private Reactor reactor;

    @AfterEach
    void stop() throws InterruptedException {
        if (reactor != null) {
            reactor.stop();
        }
        eventLoops.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
        metrics.close();
    }

    @Test
    void every_process_of_the_container_is_killed_in_its_namespace() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            start(Mode.KILL, 10_000);

            reactor.poisoned(poisoning("k8s.io", "abc"));

            awaitOutcome("sent", 1);
            assertThat(containerd.kills)
                    .containsExactly(new FakeContainerd.Kill(
                            "k8s.io",
                            KillRequest.newBuilder()
                                    .setContainerId("abc")
                                    .setSignal(9)
                                    .setAll(true)
                                    .build()));
        }
    }

    @Test
    void a_shim_that_hangs_does_not_hold_up_the_kills_of_other_containers() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            containerd.hangOn("hangs");
            start(Mode.KILL, 10_000);

            reactor.poisoned(poisoning("k8s.io", "hangs"));
            await().until(() -> containerd.kills.size() == 1);
            reactor.poisoned(poisoning("k8s.io", "other"));

            awaitOutcome("sent", 1);
        }
    }

    @Test
    void a_container_without_a_task_needs_no_kill() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            containerd.refuse(Status.NOT_FOUND);
            start(Mode.KILL, 10_000);

            reactor.poisoned(poisoning("k8s.io", "abc"));

            awaitOutcome("nothing_runs", 1);
            assertThat(containerd.kills).hasSize(1);
        }
    }

    @Test
    void a_kill_is_repeated_while_containerd_is_unavailable() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            containerd.refuse(Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED);
            start(Mode.KILL, 10_000);

            reactor.poisoned(poisoning("k8s.io", "abc"));

            awaitOutcome("sent", 1);
            assertThat(containerd.kills).hasSize(3);
        }
    }

    @Test
    void a_kill_waits_for_a_containerd_that_starts_later() throws IOException {
        start(Mode.KILL, 20_000);
        reactor.poisoned(poisoning("k8s.io", "abc"));

        try (FakeContainerd containerd = containerd()) {
            awaitOutcome("sent", 1);
            assertThat(containerd.kills).hasSize(1);
        }
    }

    @Test
    void a_containerd_that_stays_away_is_given_up_after_the_time() {
        start(Mode.KILL, 30);

        reactor.poisoned(poisoning("k8s.io", "abc"));

        awaitOutcome("failed", 1);
    }

    @Test
    void a_refused_kill_is_not_repeated_and_the_next_one_is_sent() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            containerd.refuse(Status.INVALID_ARGUMENT);
            start(Mode.KILL, 10_000);

            reactor.poisoned(poisoning("k8s.io", "abc"));
            reactor.poisoned(poisoning("k8s.io", "def"));

            awaitOutcome("sent", 1);
            awaitOutcome("failed", 1);
            assertThat(containerd.kills).hasSize(2);
        }
    }

    @Test
    void mode_report_kills_nothing() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            start(Mode.REPORT, 10_000);

            reactor.poisoned(poisoning("k8s.io", "abc"));

            awaitOutcome("only_reported", 1);
            assertThat(containerd.kills).isEmpty();
        }
    }

    @Test
    void what_does_not_fit_into_the_queue_is_dropped_without_waiting() {
        start(Mode.KILL, 20_000, 2);

        for (int i = 0; i < Reactor.KILLS_AT_ONCE + 2 + 10; i++) {
            reactor.poisoned(poisoning("k8s.io", "abc" + i));
        }

        assertThat(outcome("dropped")).isEqualTo(10.0);
    }

    @Test
    void a_stop_does_not_wait_for_containerd() throws InterruptedException {
        start(Mode.KILL, 3_600_000);
        for (int i = 0; i < Reactor.KILLS_AT_ONCE + 1; i++) {
            reactor.poisoned(poisoning("k8s.io", "abc" + i));
        }
        await().until(() -> Scrapes.of(metrics).contains("volatile_snapshotter_queue_length{queue=\"reactor\"} 1.0"));

        reactor.stop();

        awaitOutcome("dropped", Reactor.KILLS_AT_ONCE + 1);
        reactor = null;
    }

    private FakeContainerd containerd() throws IOException {
        return new FakeContainerd(directory.resolve("c.sock"), eventLoops);
    }

    private void start(Mode mode, long retryTimeoutMillis) {
        start(mode, retryTimeoutMillis, Reactor.QUEUE_LENGTH);
    }

    private void start(Mode mode, long retryTimeoutMillis, int queueLength) {
        reactor = Reactor.start(
                new Config.Containerd(Optional.of(directory.resolve("c.sock")), 5_000, retryTimeoutMillis),
                new Config.Poison(mode),
                eventLoops,
                metrics,
                queueLength);
    }

    private void awaitOutcome(String outcome, double count) {
        await().until(() -> outcome(outcome) == count);
    }

    private double outcome(String outcome) {
        String series = "volatile_snapshotter_kills_total{outcome=\"" + outcome + "\"} ";
        return Scrapes.of(metrics)
                .lines()
                .filter(line -> line.startsWith(series))
                .mapToDouble(line -> Double.parseDouble(line.substring(series.length())))
                .sum();
    }

    private static Poisoning poisoning(String namespace, String container) {
        return new Poisoning(
                namespace + "/1/" + container, namespace, container, "writeback_error", "7:0", "EIO", Instant.EPOCH, 0);
    }
}
