package io.github.volatilesnapshotter.containerd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.Config.Poison.Mode;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.metrics.Scrapes;
import io.github.volatilesnapshotter.proto.containerd.tasks.v1.KillRequest;
import io.github.volatilesnapshotter.snapshot.FakeSnapshotter;
import io.github.volatilesnapshotter.snapshot.Labels;
import io.github.volatilesnapshotter.snapshot.Poisoning;
import io.github.volatilesnapshotter.snapshot.SnapshotInfo;
import io.grpc.Status;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Collections;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(30)
class ReactorTest {
    private static final long LONGEST_PAUSE_MILLIS = 50;

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
            start(Mode.KILL, LONGEST_PAUSE_MILLIS);

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
            containerd.hangOn(Set.of("hangs"));
            start(Mode.KILL, LONGEST_PAUSE_MILLIS);

            reactor.poisoned(poisoning("k8s.io", "hangs"));
            await().until(() -> containerd.kills.size() == 1);
            reactor.poisoned(poisoning("k8s.io", "other"));

            awaitOutcome("sent", 1);
        }
    }

    @Test
    void more_shims_that_hang_than_there_are_threads_hold_up_neither_first_kills_nor_repeats_for_ever()
            throws IOException {
        Set<String> hanging = IntStream.range(0, 2 * Reactor.KILLS_AT_ONCE)
                .mapToObj(i -> "hangs" + i)
                .collect(Collectors.toSet());
        try (FakeContainerd containerd = containerd()) {
            containerd.hangOn(hanging);
            start(Mode.KILL, LONGEST_PAUSE_MILLIS, Reactor.QUEUE_LENGTH, 200);

            hanging.forEach(container -> reactor.poisoned(poisoning("k8s.io", container)));
            await().until(() -> outcome("failed") >= hanging.size());
            containerd.refuse(Status.UNKNOWN);
            reactor.poisoned(poisoning("k8s.io", "refused once"));
            reactor.poisoned(poisoning("k8s.io", "other"));

            awaitOutcome("sent", 2);
            containerd.hangOn(Set.of());
            awaitOutcome("sent", 2 + hanging.size());
        }
    }

    @Test
    void a_container_without_a_task_needs_no_kill() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            containerd.refuse(Status.NOT_FOUND);
            start(Mode.KILL, LONGEST_PAUSE_MILLIS);

            reactor.poisoned(poisoning("k8s.io", "abc"));

            awaitOutcome("nothing_runs", 1);
            assertThat(containerd.kills).hasSize(1);
        }
    }

    @Test
    void a_container_that_had_its_mounts_before_the_poison_is_killed_when_its_task_comes() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            containerd.refuse(Status.NOT_FOUND, Status.NOT_FOUND);
            start(Mode.KILL, LONGEST_PAUSE_MILLIS);

            reactor.poisoned(poisoning("k8s.io", "abc", Instant.now()));

            awaitOutcome("sent", 1);
            assertThat(containerd.kills).hasSize(3);
            assertThat(outcome("failed")).isZero();
            awaitRepeated(0);
        }
    }

    @Test
    void a_kill_that_fails_is_repeated_whatever_the_failure_was() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            containerd.refuse(Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.INTERNAL, Status.INVALID_ARGUMENT);
            start(Mode.KILL, LONGEST_PAUSE_MILLIS);

            reactor.poisoned(poisoning("k8s.io", "abc"));

            awaitOutcome("sent", 1);
            assertThat(containerd.kills).hasSize(5);
            assertThat(outcome("failed")).isEqualTo(4);
            awaitRepeated(0);
        }
    }

    @Test
    void a_repeat_ends_when_containerd_knows_the_task_no_more() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            containerd.refuse(Status.UNKNOWN, Status.NOT_FOUND);
            start(Mode.KILL, LONGEST_PAUSE_MILLIS);

            reactor.poisoned(poisoning("k8s.io", "abc"));

            awaitOutcome("nothing_runs", 1);
            awaitRepeated(0);
        }
    }

    @Test
    void a_kill_waits_for_a_containerd_that_starts_later() throws IOException {
        start(Mode.KILL, LONGEST_PAUSE_MILLIS);
        reactor.poisoned(poisoning("k8s.io", "abc"));
        await().until(() -> outcome("failed") >= 10);
        assertThat(outcome("dropped")).isZero();

        try (FakeContainerd containerd = containerd()) {
            awaitOutcome("sent", 1);
            assertThat(containerd.kills).hasSize(1);
        }
    }

    @Test
    void the_pauses_between_tries_grow_up_to_the_bound() {
        start(Mode.KILL, 3_600_000);

        reactor.poisoned(poisoning("k8s.io", "abc"));

        // 20 ms, 40, 80, 160: the fifth try is 300 ms after the first. Without growth there would be 16 by then.
        await().during(Duration.ofMillis(350)).until(() -> outcome("failed") <= 5);
        await().until(() -> outcome("failed") >= 5);
    }

    @Test
    void a_kill_is_repeated_only_while_its_snapshot_is_there_and_poisoned() throws Exception {
        FakeSnapshotter snapshotter = new FakeSnapshotter();
        Map<String, String> poison = Map.of(Labels.POISONED_AT, Instant.EPOCH.toString());
        snapshotter.prepare("k8s.io/1/removed", "", poison);
        snapshotter.prepare("k8s.io/1/used-anew", "", Map.of(Labels.POISONED_AT, "1999-12-31T23:59:59Z"));
        start(Mode.KILL, LONGEST_PAUSE_MILLIS);
        reactor.repeatWhilePoisonedIn(snapshotter);

        reactor.poisoned(poisoning("k8s.io", "removed"));
        reactor.poisoned(poisoning("k8s.io", "used-anew"));

        awaitOutcome("snapshot_removed", 1);
        await().until(() -> outcome("failed") >= 5);
        snapshotter.remove("k8s.io/1/removed");
        awaitOutcome("snapshot_removed", 2);
        awaitRepeated(0);
    }

    @Test
    void what_can_not_be_known_of_a_snapshot_does_not_end_the_repeats() throws IOException {
        FakeSnapshotter broken = new FakeSnapshotter() {
            @Override
            public SnapshotInfo stat(String key) {
                throw new IllegalStateException("closed");
            }
        };
        start(Mode.KILL, LONGEST_PAUSE_MILLIS);
        reactor.repeatWhilePoisonedIn(broken);

        reactor.poisoned(poisoning("k8s.io", "abc"));

        await().until(() -> outcome("failed") >= 3);
        awaitRepeated(1);
    }

    @Test
    void more_repeats_than_the_bound_are_dropped() {
        start(Mode.KILL, LONGEST_PAUSE_MILLIS, 2, 5_000);

        for (int i = 0; i < 4; i++) {
            double tried = outcome("failed") + 1;
            reactor.poisoned(poisoning("k8s.io", "abc" + i));
            await().until(() -> outcome("failed") >= tried);
        }

        awaitOutcome("dropped", 2);
        awaitRepeated(2);
    }

    @Test
    void mode_report_kills_nothing() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            start(Mode.REPORT, LONGEST_PAUSE_MILLIS);

            reactor.poisoned(poisoning("k8s.io", "abc"));

            awaitOutcome("only_reported", 1);
            assertThat(containerd.kills).isEmpty();
        }
    }

    @Test
    void what_does_not_fit_into_the_queue_is_dropped_without_waiting() throws IOException {
        try (FakeContainerd containerd = containerd()) {
            containerd.hangOn(containers(Reactor.KILLS_AT_ONCE + 2 + 10));
            start(Mode.KILL, LONGEST_PAUSE_MILLIS, 2, 20_000);

            containers(Reactor.KILLS_AT_ONCE + 2 + 10)
                    .forEach(container -> reactor.poisoned(poisoning("k8s.io", container)));

            assertThat(outcome("dropped")).isEqualTo(10.0);
        }
    }

    @Test
    void a_stop_does_not_wait_for_containerd() throws Exception {
        try (FakeContainerd containerd = containerd()) {
            containerd.hangOn(containers(Reactor.KILLS_AT_ONCE + 1));
            start(Mode.KILL, 3_600_000, Reactor.QUEUE_LENGTH, 20_000);
            containerd.refuse(Collections.nCopies(30, Status.INTERNAL).toArray(Status[]::new));
            reactor.poisoned(poisoning("k8s.io", "repeated"));
            awaitRepeated(1);
            containers(Reactor.KILLS_AT_ONCE + 1)
                    .forEach(container -> reactor.poisoned(poisoning("k8s.io", container)));
            await().until(() -> queue("reactor") == 1);

            reactor.stop();

            assertThat(outcome("dropped")).isEqualTo(Reactor.KILLS_AT_ONCE + 2);
            awaitRepeated(0);
            reactor = null;
        }
    }

    private static Set<String> containers(int count) {
        return IntStream.range(0, count).mapToObj(i -> "abc" + i).collect(Collectors.toSet());
    }

    private FakeContainerd containerd() throws IOException {
        return new FakeContainerd(directory.resolve("c.sock"), eventLoops);
    }

    private void start(Mode mode, long longestPauseMillis) {
        start(mode, longestPauseMillis, Reactor.QUEUE_LENGTH, 5_000);
    }

    private void start(Mode mode, long longestPauseMillis, int queueLength, long callTimeoutMillis) {
        reactor = Reactor.start(
                new Config.Containerd(Optional.of(directory.resolve("c.sock")), callTimeoutMillis, longestPauseMillis),
                new Config.Poison(mode),
                eventLoops,
                metrics,
                queueLength);
    }

    private void awaitOutcome(String outcome, double count) {
        await().until(() -> outcome(outcome) == count);
    }

    private void awaitRepeated(double count) {
        await().until(() -> queue("reactor_repeats") == count);
    }

    private double outcome(String outcome) {
        return sum("volatile_snapshotter_kills_total{outcome=\"" + outcome + "\"} ");
    }

    private double queue(String queue) {
        return sum("volatile_snapshotter_queue_length{queue=\"" + queue + "\"} ");
    }

    private double sum(String series) {
        return Scrapes.of(metrics)
                .lines()
                .filter(line -> line.startsWith(series))
                .mapToDouble(line -> Double.parseDouble(line.substring(series.length())))
                .sum();
    }

    private static Poisoning poisoning(String namespace, String container) {
        return poisoning(namespace, container, Instant.EPOCH);
    }

    private static Poisoning poisoning(String namespace, String container, Instant at) {
        return new Poisoning(
                namespace + "/1/" + container, namespace, container, "writeback_error", "7:0", "EIO", at, 0);
    }
}
