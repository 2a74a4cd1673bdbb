package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.ListenAddress;
import io.github.volatilesnapshotter.grpc.ServerFixture;
import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.linux.BootId;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import io.github.volatilesnapshotter.metadata.StoreObserver;
import io.github.volatilesnapshotter.metadata.TransactionNote;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.metrics.MetricsEndpoint;
import io.github.volatilesnapshotter.snapshot.FakeSnapshotter;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class DoctorTest {
    @TempDir
    private Path directory;

    private final List<String> lines = new ArrayList<>();
    private Config.Layers.Sync sync = Config.Layers.Sync.AUTO;
    private Optional<ListenAddress> metricsAddress = Optional.empty();

    @Test
    @Tag("kernel")
    void a_machine_that_can_serve_is_well_and_left_as_it_was() throws Exception {
        assertThat(examine(directory.resolve("a/root"), directory.resolve("b/state"), Optional.empty()))
                .as(lines.toString())
                .isZero();

        assertThat(lines).hasSize(9).allMatch(line -> line.startsWith("OK "));
        assertThat(line("error trace")).contains("the kernel tells at once of an error on device ");
        assertThat(line("layer sync")).contains("auto: ");
        assertThat(directory).isEmptyDirectory();
        assertThat(MountInfo.ofSelf()).noneMatch(mount -> mount.mountPoint().startsWith(directory.toString()));
    }

    @Test
    @Tag("kernel")
    void what_a_doctor_that_was_killed_has_left_is_taken_away() throws Exception {
        Path root = Files.createDirectory(directory.resolve("root"));
        Path state = Files.createDirectory(directory.resolve("state"));
        Files.createDirectories(root.resolve(".doctor/work/work/incompat/volatile"));
        Files.createDirectory(state.resolve(".doctor"));

        assertThat(examine(root, state, Optional.empty())).as(lines.toString()).isZero();

        assertThat(root).isEmptyDirectory();
        assertThat(state).isEmptyDirectory();
    }

    @Test
    @Tag("kernel")
    void records_of_a_stopped_daemon_are_verified_and_left_as_they_are() throws Exception {
        Path root = Files.createDirectory(directory.resolve("root"));
        Files.createFile(root.resolve("lock"));
        Path records = root.resolve("metadata.db");
        SqliteSnapshotStore.open(records).close();
        byte[] before = Files.readAllBytes(records);
        examine(root, directory.resolve("state"), Optional.empty());
        assertThat(line("records")).startsWith("OK").endsWith("0 records, undamaged\n");

        Files.write(records, Arrays.copyOf(before, before.length / 2));
        lines.clear();
        assertThat(examine(root, directory.resolve("state"), Optional.empty())).isEqualTo(ExitCode.FAILED);
        assertThat(line("records")).startsWith("FAIL").contains("the file is damaged", "volatilectl restore FILE");

        Files.delete(records);
        Files.createDirectories(root.resolve("snapshots/1/fs"));
        lines.clear();
        assertThat(examine(root, directory.resolve("state"), Optional.empty())).isEqualTo(ExitCode.FAILED);
        assertThat(line("records")).startsWith("FAIL").contains("is missing or empty, but");
        assertThat(records).doesNotExist();
    }

    @Test
    void a_root_that_was_emptied_is_told_of_as_serve_would_refuse_it() throws Exception {
        Path state = Files.createDirectory(directory.resolve("state"));
        Path note = state.resolve("last-transaction");
        Path root = Files.createDirectory(directory.resolve("root"));
        TransactionNote kept = TransactionNote.keptIn(note, new TransactionNote.Period(BootId.current(), "any"));
        try (SnapshotStore store = SqliteSnapshotStore.open(root.resolve("metadata.db"), kept, StoreObserver.NONE)) {
            Instant now = Instant.now();
            SnapshotRecord view = new SnapshotRecord(
                    store.newId(), "ns/1/v", RecordKind.VIEW, 0, now, now, Map.of(), "root", null, null, null);
            var _ = store.<SnapshotRecord, RuntimeException>ordered(transaction -> {
                transaction.insert(view);
                return view;
            });
        }
        DirectoryTree.delete(root);

        assertThat(examine(root, state, Optional.empty())).isEqualTo(ExitCode.FAILED);

        assertThat(line("records")).startsWith("FAIL").contains("there are no records", note.toString());
    }

    @Test
    void the_address_of_metrics_is_tried() throws Exception {
        examine(directory.resolve("root"), directory.resolve("state"), Optional.empty());
        assertThat(line("metrics")).isEqualTo("OK    metrics          no --metrics-address: none are served\n");

        try (Metrics metrics = new Metrics();
                MetricsEndpoint endpoint = MetricsEndpoint.start(
                        new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), metrics, () -> true)) {
            examineMetricsAt(endpoint.address().getPort());
            assertThat(line("metrics")).startsWith("OK").contains("a daemon serves them at ");
        }
        int free;
        try (ServerSocket closed = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            free = closed.getLocalPort();
        }
        examineMetricsAt(free);
        assertThat(line("metrics")).startsWith("OK").contains("can be served at ");
        try (HttpServerOfNobody other = new HttpServerOfNobody()) {
            examineMetricsAt(other.port());
            assertThat(line("metrics"))
                    .startsWith("FAIL")
                    .contains("Address already in use; give another --metrics-address");
        }
    }

    /** Answers each request with nothing. */
    private static final class HttpServerOfNobody implements AutoCloseable {
        private final HttpServer server;

        HttpServerOfNobody() throws IOException {
            server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 1);
            server.start();
        }

        int port() {
            return server.getAddress().getPort();
        }

        @Override
        public void close() {
            server.stop(0);
        }
    }

    private void examineMetricsAt(int port) {
        metricsAddress = Optional.of(new ListenAddress("127.0.0.1", port));
        examine(directory.resolve("root"), directory.resolve("state"), Optional.empty());
    }

    @Test
    @Tag("kernel")
    void a_log_that_is_missing_is_told_by_its_own_name() throws Exception {
        Path root = Files.createDirectory(directory.resolve("root"));
        Files.createFile(root.resolve("lock"));
        Path copy = directory.resolve("copy.db");
        try (SnapshotStore _ = SqliteSnapshotStore.open(directory.resolve("metadata.db"))) {
            Files.copy(directory.resolve("metadata.db"), copy);
        }
        Files.move(copy, root.resolve("metadata.db"));

        assertThat(examine(root, directory.resolve("state"), Optional.empty())).isEqualTo(ExitCode.FAILED);

        assertThat(line("records"))
                .startsWith("FAIL  records          " + root.resolve("metadata.db") + ": ")
                .contains("its write-ahead log metadata.db-wal is missing", "or begin anew: stop containerd")
                .doesNotContain("restoring");
    }

    @Test
    @Tag("kernel")
    void a_root_on_a_filesystem_that_was_never_tested_is_told_so() throws Exception {
        Path root = Files.createDirectory(directory.resolve("root"));
        Command.run("mount", "-t", "tmpfs", "tmpfs", root.toString());
        try {
            examine(root, directory.resolve("state"), Optional.empty());

            assertThat(line("root"))
                    .isEqualTo("OK    root             " + root + " lies on tmpfs, which can hold uppers but was never"
                            + " tested: better give one on ext4, xfs or btrfs\n");
            assertThat(line("layer sync"))
                    .startsWith("OK")
                    .contains("auto: syncfs, always", "of tmpfs it is not known how to commit its log");
            assertThat(root).isEmptyDirectory();

            sync = Config.Layers.Sync.TARGETED;
            assertThat(examine(root, directory.resolve("state"), Optional.empty()))
                    .isEqualTo(ExitCode.FAILED);
            assertThat(line("layer sync"))
                    .startsWith("FAIL")
                    .contains("can't be done on device ", "(tmpfs)", "use \"auto\" or \"syncfs\"");
        } finally {
            Command.run("umount", root.toString());
        }
    }

    @Test
    @Tag("kernel")
    void a_root_that_has_turned_read_only_is_to_be_checked() throws Exception {
        Path root = Files.createDirectory(directory.resolve("root"));
        Command.run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", root.toString());
        try {
            assertThat(examine(root, directory.resolve("state"), Optional.empty()))
                    .isEqualTo(ExitCode.FAILED);

            assertThat(line("root")).startsWith("FAIL").contains("read-only filesystem");
            assertThat(line("volatile mount")).startsWith("FAIL").contains("EROFS", "unmount it, check it");
        } finally {
            Command.run("umount", root.toString());
        }
    }

    @Test
    @Tag("kernel")
    void the_kernel_says_why_a_volatile_overlay_can_not_be_mounted() throws Exception {
        for (String name : List.of("lower", "upper", "work", "merged")) {
            Files.createDirectory(directory.resolve(name));
        }
        Path root = directory.resolve("merged");
        Command.run(
                "mount",
                "-t",
                "overlay",
                "overlay",
                "-o",
                "lowerdir=" + directory.resolve("lower") + ",upperdir=" + directory.resolve("upper") + ",workdir="
                        + directory.resolve("work"),
                root.toString());
        try {
            assertThat(examine(root, directory.resolve("state"), Optional.empty()))
                    .isEqualTo(ExitCode.FAILED);

            assertThat(line("root")).startsWith("FAIL").contains("lies on an overlay");
            assertThat(line("volatile mount"))
                    .startsWith("FAIL")
                    .containsPattern("fsconfig|mount\\(")
                    .contains("EINVAL")
                    .contains("give a root on ext4, xfs or btrfs");
            assertThat(line("state directory")).startsWith("OK");
            assertThat(root).isEmptyDirectory();
        } finally {
            Command.run("umount", root.toString());
        }
    }

    @Test
    void files_in_the_way_of_directories_and_of_the_socket_are_named() throws Exception {
        Path file = Files.createFile(directory.resolve("file"));

        assertThat(examine(file, file, Optional.empty())).isEqualTo(ExitCode.FAILED);
        assertThat(line("root")).startsWith("FAIL").contains(file.toString());
        assertThat(line("state directory"))
                .startsWith("FAIL")
                .contains(file + "", "ENOTDIR", "give another directory with --state");

        Path state = Files.createDirectory(directory.resolve("state"));
        Path socket = Files.createFile(state.resolve("containerd-volatile-grpc.sock"));
        examine(directory.resolve("root"), state, Optional.empty());
        assertThat(line("socket"))
                .startsWith("FAIL")
                .contains(socket + " is no socket; remove it, or give another --address");
        assertThat(line("state directory")).isEqualTo("OK    state directory  " + state + " can be written to\n");
    }

    @Test
    void a_socket_with_too_long_a_path_is_refused() {
        examine(directory.resolve("root"), directory.resolve("x".repeat(108)), Optional.empty());

        assertThat(line("socket")).startsWith("FAIL").contains("a socket's path has at most 107 bytes");
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void a_daemon_that_serves_is_well_and_one_that_does_not_is_not() throws Exception {
        try (ServerFixture daemon = new ServerFixture(directory, new FakeSnapshotter())) {
            examineAt(daemon.socket, Optional.empty());
            assertThat(line("socket"))
                    .isEqualTo("OK    socket           a daemon listens on " + daemon.socket + ", and is serving\n");

            daemon.server.setServing(false);
            assertThat(examineAt(daemon.socket, Optional.empty())).isEqualTo(ExitCode.FAILED);
            assertThat(line("socket")).startsWith("FAIL").contains("UNAVAILABLE: health is NOT_SERVING; see its log");
        }
    }

    @Test
    void a_listener_that_does_not_answer_is_not_waited_for_without_bound() throws Exception {
        Path socket = directory.resolve("s");
        try (ServerSocketChannel silent = ServerSocketChannel.open(StandardProtocolFamily.UNIX)) {
            silent.bind(UnixDomainSocketAddress.of(socket));

            examineAt(socket, Optional.empty());
        }
        assertThat(line("socket")).startsWith("FAIL").contains("whoever listens on " + socket + " does not answer");

        examineAt(socket, Optional.empty());
        assertThat(line("socket")).startsWith("OK").contains("nobody listens on " + socket + " any more");
    }

    @Test
    void containerd_is_asked_if_its_address_is_known() throws Exception {
        try (ServerFixture containerd = new ServerFixture(directory, new FakeSnapshotter())) {
            examineAt(directory.resolve("s"), Optional.of(containerd.socket));
            assertThat(line("containerd"))
                    .isEqualTo("OK    containerd       containerd on " + containerd.socket + " is serving\n");
        }

        Path nobody = directory.resolve("nobody.sock");
        assertThat(examineAt(directory.resolve("s"), Optional.of(nobody))).isEqualTo(ExitCode.FAILED);
        assertThat(line("containerd"))
                .startsWith("FAIL")
                .contains("nobody answers on " + nobody + ": No such file or directory; start containerd");

        examineAt(directory.resolve("s"), Optional.empty());
        assertThat(line("containerd")).startsWith("OK").contains("no container is killed");
    }

    private int examineAt(Path socket, Optional<Path> containerd) {
        return examine(directory.resolve("root"), directory.resolve("state"), Optional.of(socket), containerd);
    }

    private int examine(Path root, Path state, Optional<Path> containerd) {
        return examine(root, state, Optional.empty(), containerd);
    }

    private int examine(Path root, Path state, Optional<Path> socket, Optional<Path> containerd) {
        Config defaults = Config.defaults();
        Config config = new Config(
                root,
                state,
                socket,
                defaults.grpc(),
                defaults.volatileUppers(),
                new Config.Layers(
                        sync,
                        defaults.layers().earlyWritebackIntervalMillis(),
                        defaults.layers().commitTimeoutMillis()),
                defaults.watch(),
                defaults.poison(),
                new Config.Containerd(containerd, 1_000, 1_000),
                new Config.Metrics(metricsAddress),
                defaults.usage(),
                defaults.log());
        lines.clear();
        return new Doctor(config, lines::add).examine();
    }

    private String line(String what) {
        return lines.stream()
                .filter(line -> line.substring(6).startsWith(what + " "))
                .findFirst()
                .orElseThrow();
    }
}
