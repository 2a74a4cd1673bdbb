package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.ListenAddress;
import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.snapshot.Labels;
import io.github.volatilesnapshotter.snapshot.StartException;
import java.io.IOException;
import java.net.ServerSocket;
import java.net.StandardProtocolFamily;
import java.net.URI;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The whole daemon, with real mounts, in this process. */
@Tag("kernel")
@Timeout(60)
class DaemonTest {
    @TempDir
    private Path directory;

    private Config config;
    private Daemon daemon;

    @BeforeEach
    void configure() {
        config = DaemonFixture.configBelow(directory);
        daemon = new Daemon(config, true);
    }

    @AfterEach
    void stop() throws Exception {
        try {
            daemon.stop();
            assertThat(mountsBelow(directory)).isEmpty();
        } finally {
            for (MountInfo mount : MountInfo.ofSelf()) {
                if (mount.mountPoint().startsWith(directory + "/")) {
                    Mounting.detach(Path.of(mount.mountPoint()));
                }
            }
        }
    }

    @Test
    void a_started_daemon_serves_until_it_is_stopped() throws Exception {
        daemon.start();

        assertThat(daemon.state()).isEqualTo(Daemon.State.SERVING);
        assertThat(Volatilectl.program()
                        .run("health", "--address", config.socket().toString()))
                .isZero();

        daemon.stop();

        assertThat(daemon.state()).isEqualTo(Daemon.State.STOPPED);
        assertThat(config.socket()).doesNotExist();
        daemon.awaitStop();
    }

    @Test
    void a_stopped_daemon_leaves_no_trace_of_its_own() throws Exception {
        Path tracefs = Files.createDirectory(directory.resolve("tracefs"));
        Command.run("mount", "-t", "tracefs", "tracefs", tracefs.toString());
        try {
            daemon.start();
            assertThat(instancesOfDaemon(tracefs)).hasSize(1);

            daemon.stop();

            assertThat(instancesOfDaemon(tracefs)).isEmpty();
        } finally {
            Command.run("umount", tracefs.toString());
        }
    }

    /** Other daemons of this machine have theirs. */
    private List<String> instancesOfDaemon(Path tracefs) throws IOException {
        String root = Integer.toHexString(config.root().toString().hashCode());
        return filesIn(tracefs.resolve("instances")).stream()
                .filter(name -> name.startsWith("containerd-volatile-grpc-") && name.endsWith("-" + root))
                .toList();
    }

    @Test
    void a_second_daemon_on_the_same_root_is_refused_and_harms_nothing() throws Exception {
        daemon.start();
        Daemon second = new Daemon(at(directory.resolve("other.sock")), true);

        assertThatExceptionOfType(StartException.class)
                .isThrownBy(second::start)
                .withMessageContaining("another daemon serves root");

        assertThat(second.state()).isEqualTo(Daemon.State.STOPPED);
        assertThat(Volatilectl.program()
                        .run("health", "--address", config.socket().toString()))
                .isZero();
        assertThat(filesIn(directory)).doesNotContain("other.sock");
    }

    @Test
    void a_socket_that_is_taken_stops_the_start_and_leaves_no_mount() throws Exception {
        Files.createDirectories(config.state());
        try (ServerSocketChannel other = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            other.bind(UnixDomainSocketAddress.of(config.socket()));

            assertThatExceptionOfType(IOException.class)
                    .isThrownBy(daemon::start)
                    .withMessageContaining("another process listens there");
        }
    }

    @Test
    void what_started_is_stopped_when_a_later_part_fails() throws Exception {
        try (ServerSocket taken = new ServerSocket(0)) {
            Config withTakenPort = withMetrics("0.0.0.0:" + taken.getLocalPort());
            daemon = new Daemon(withTakenPort, true);

            assertThatExceptionOfType(IOException.class)
                    .isThrownBy(daemon::start)
                    .withMessageContaining("metrics address 0.0.0.0:" + taken.getLocalPort());

            assertThat(daemon.state()).isEqualTo(Daemon.State.STOPPED);
            assertThat(directory).isEmptyDirectory();
        }
    }

    @Test
    void a_stop_during_the_start_ends_it_and_stops_what_has_started() throws Exception {
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Thread starting = Thread.ofPlatform()
                .uncaughtExceptionHandler((_, thrown) -> failure.set(thrown))
                .start(() -> {
                    try {
                        daemon.start();
                    } catch (Exception e) {
                        failure.set(e);
                    }
                });
        await().pollInterval(Duration.ofMillis(1)).until(() -> daemon.state() == Daemon.State.STARTING);

        daemon.stop();

        assertThat(daemon.state()).isEqualTo(Daemon.State.STOPPED);
        daemon.awaitStop();
        starting.join(10_000);
        assertThat(failure.get()).isNull();
        assertThat(config.socket()).doesNotExist();
        // Nothing holds the locks: another one may start.
        daemon = new Daemon(config, true);
        daemon.start();
    }

    @Test
    void a_daemon_that_was_stopped_before_it_was_started_does_not_start() throws Exception {
        daemon.stop();

        assertThatIllegalStateException().isThrownBy(daemon::start);
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void a_restart_finds_its_mounts_behind_symbolic_links() throws Exception {
        Files.createDirectory(directory.resolve("disk"));
        Files.createSymbolicLink(directory.resolve("link"), directory.resolve("disk"));
        config = below(directory.resolve("link"));
        Daemon first = new Daemon(config, false);
        first.start();
        DaemonFixture.prepare(config.socket(), "ns/1/container");
        first.stop();
        daemon = new Daemon(config, true);

        daemon.start();

        try (SocketClient client = new SocketClient(config.socket())) {
            assertThat(client.stat("ns/1/container").getLabelsMap()).doesNotContainKey(Labels.POISONED);
        }
    }

    @Test
    void what_may_be_counted_is_shown_before_it_happens() throws Exception {
        int port;
        try (ServerSocket free = new ServerSocket(0)) {
            port = free.getLocalPort();
        }
        daemon = new Daemon(withMetrics("127.0.0.1:" + port), true);
        daemon.start();

        String metrics = new String(
                URI.create("http://127.0.0.1:" + port + "/metrics")
                        .toURL()
                        .openStream()
                        .readAllBytes(),
                StandardCharsets.UTF_8);

        for (String reason : List.of("writeback-error", "crash", "unverifiable", "missing")) {
            assertThat(metrics).contains("volatile_snapshotter_poisoned_total{reason=\"" + reason + "\"} 0.0");
        }
        assertThat(metrics)
                .contains("volatile_snapshotter_rpc_rejected_total{lane=\"commit\"} 0.0")
                .contains("volatile_snapshotter_rpc_unexpected_total{method=\"Prepare\"} 0.0")
                .contains("volatile_snapshotter_kills_total{outcome=\"sent\"} 0.0");
    }

    @Test
    void a_daemon_starts_only_once() throws Exception {
        daemon.start();
        daemon.stop();

        assertThatIllegalStateException().isThrownBy(daemon::start).withMessageContaining("STOPPED");
    }

    private Config below(Path place) {
        return with(place.resolve("root"), place.resolve("state"), config.address(), config.metrics());
    }

    private Config at(Path socket) {
        return with(config.root(), config.state(), Optional.of(socket), config.metrics());
    }

    private Config withMetrics(String address) {
        Config.Metrics metrics = new Config.Metrics(Optional.of(ListenAddress.parse(address)));
        return with(config.root(), config.state(), config.address(), metrics);
    }

    private Config with(Path root, Path state, Optional<Path> address, Config.Metrics metrics) {
        return new Config(
                root,
                state,
                address,
                config.grpc(),
                config.volatileUppers(),
                config.layers(),
                config.watch(),
                config.poison(),
                config.containerd(),
                metrics,
                config.usage(),
                config.log());
    }

    private static List<String> mountsBelow(Path directory) throws IOException {
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/mountinfo"))) {
            return lines.filter(line -> line.contains(directory.toString())).toList();
        }
    }

    private static List<String> filesIn(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.map(file -> file.getFileName().toString()).toList();
        }
    }
}
