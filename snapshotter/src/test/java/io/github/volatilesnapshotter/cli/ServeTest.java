package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.ChildJvm;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CommitSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.MountsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.RemoveSnapshotRequest;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The command serve, in a process of its own. */
@Tag("kernel")
@Timeout(60)
class ServeTest {
    private static final int LOW_LIMIT = 400;

    /** Enough for the process itself, and not for what it holds open. */
    private static final int TOO_LOW_LIMIT = 200;

    @TempDir
    private Path directory;

    private Process process;

    @AfterEach
    void end() throws Exception {
        if (process != null) {
            process.destroyForcibly().waitFor(10, TimeUnit.SECONDS);
        }
        for (MountInfo mount : MountInfo.ofSelf()) {
            if (mount.mountPoint().startsWith(directory + "/")) {
                Mounting.detach(Path.of(mount.mountPoint()));
            }
        }
    }

    @Test
    void sigterm_stops_it_with_exit_code_zero_and_leaves_the_sentinel_mounted() throws Exception {
        serve();
        await().atMost(Duration.ofSeconds(30)).until(() -> Files.exists(socket()));

        process.destroy();

        assertThat(exitCode()).isZero();
        assertThat(socket()).doesNotExist();
        assertThat(mounts()).isNotEmpty();
    }

    @Test
    void sigterm_during_the_start_stops_what_has_started_with_exit_code_zero() throws Exception {
        serve();
        // The first thing that the snapshotter makes.
        await().atMost(Duration.ofSeconds(30))
                .pollInterval(Duration.ofMillis(1))
                .until(() -> Files.exists(directory.resolve("root")));

        process.destroy();

        assertThat(exitCode()).as(errors()).isZero();
        assertThat(errors()).contains("\"stopped\"");
        assertThat(socket()).doesNotExist();
    }

    @Test
    void a_start_that_fails_exits_with_one_and_says_why_in_one_line() throws Exception {
        try (ServerSocket taken = new ServerSocket(0)) {
            serve("--metrics-address", "127.0.0.1:" + taken.getLocalPort());

            assertThat(exitCode()).isEqualTo(ExitCode.FAILED);
            // A library of other tests says that it has nobody to log to.
            assertThat(errors().lines().filter(line -> !line.startsWith("SLF4J")))
                    .singleElement()
                    .asString()
                    .startsWith("error: metrics address 127.0.0.1:" + taken.getLocalPort() + " can't be served on");
        }
    }

    @Test
    void everything_that_the_start_up_cache_is_trained_with_is_answered_as_wanted_and_nothing_is_left()
            throws Exception {
        serve();
        await().atMost(Duration.ofSeconds(30)).until(() -> Files.exists(socket()));

        try (SocketClient client = new SocketClient(socket())) {
            Training.train(client, 2);

            client.list()
                    .forEachRemaining(answer -> assertThat(answer.getInfoList()).isEmpty());
        }
        assertThat(directory.resolve("root/snapshots")).isEmptyDirectory();
        // A killed one would leave its instance of the trace.
        process.destroy();
        assertThat(exitCode()).isZero();
    }

    /** Under a limit of the kernel's own, of which the daemon itself takes a part. */
    @Test
    void at_the_limit_of_open_files_a_prepare_is_unavailable_and_all_the_rest_works() throws Exception {
        serveWithOpenFiles(LOW_LIMIT);
        List<String> prepared = new ArrayList<>();
        try (SocketClient client = new SocketClient(socket())) {
            Status refusal = null;
            while (refusal == null && prepared.size() < LOW_LIMIT) {
                int number = prepared.size();
                String key = "ns/" + number + (number % 2 == 0 ? "/container" : "/extract-layer") + number;
                try {
                    prepare(client, key);
                    prepared.add(key);
                } catch (StatusRuntimeException e) {
                    refusal = e.getStatus();
                }
            }
            assertThat(refusal).isNotNull();
            assertThat(refusal.getCode()).isEqualTo(Status.Code.UNAVAILABLE);
            assertThat(refusal.getDescription()).contains("raise LimitNOFILE");
            assertThat(prepared).hasSize(SnapshotterSettings.mostOpenUppersFor(LOW_LIMIT));

            for (String key : List.of(prepared.getFirst(), prepared.getLast())) {
                var _ = client.snapshots()
                        .mounts(MountsRequest.newBuilder().setKey(key).build());
                assertThat(client.usage(key).getInodes()).isPositive();
            }
            var _ = client.snapshots()
                    .commit(CommitSnapshotRequest.newBuilder()
                            .setKey(prepared.get(1))
                            .setName("layer")
                            .build());
            prepare(client, "ns/1000/container");
            var _ = client.snapshots()
                    .remove(RemoveSnapshotRequest.newBuilder()
                            .setKey(prepared.get(0))
                            .build());
            prepare(client, "ns/1001/container");
        }
        process.destroy();
        assertThat(exitCode()).as(errors()).isZero();

        serve(List.of("prlimit", "--nofile=" + TOO_LOW_LIMIT + ":" + TOO_LOW_LIMIT));
        assertThat(exitCode()).as(errors()).isEqualTo(ExitCode.FAILED);
        assertThat(errors())
                .contains(
                        "for each of " + prepared.size() + " active snapshots",
                        "open files, " + TOO_LOW_LIMIT,
                        "LimitNOFILE");

        serveWithOpenFiles(LOW_LIMIT);
        try (SocketClient client = new SocketClient(socket())) {
            assertThat(client.stat("ns/1001/container").getLabelsMap()).isEmpty();
        }
        process.destroy();
        assertThat(exitCode()).as(errors()).isZero();
    }

    private void serveWithOpenFiles(int limit) throws Exception {
        serve(List.of("prlimit", "--nofile=" + limit + ":" + limit));
        await().atMost(Duration.ofSeconds(30)).until(() -> Files.exists(socket()));
    }

    private static void prepare(SocketClient client, String key) {
        var _ = client.snapshots()
                .prepare(PrepareSnapshotRequest.newBuilder().setKey(key).build());
    }

    private Path socket() {
        return directory.resolve("state/s");
    }

    private void serve(String... more) throws IOException {
        serve(List.of(), more);
    }

    /** @param through the command that runs it */
    private void serve(List<String> through, String... more) throws IOException {
        List<String> command = new ArrayList<>(through);
        command.addAll(ChildJvm.command(ContainerdVolatileGrpc.class, List.of()));
        command.addAll(List.of(
                "serve",
                "--root",
                directory.resolve("root").toString(),
                "--state",
                directory.resolve("state").toString(),
                "--address",
                socket().toString()));
        command.addAll(List.of(more));
        process = new ProcessBuilder(command)
                .redirectError(directory.resolve("errors").toFile())
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
    }

    private int exitCode() throws InterruptedException {
        assertThat(process.waitFor(30, TimeUnit.SECONDS)).isTrue();
        return process.exitValue();
    }

    private String errors() throws IOException {
        return Files.readString(directory.resolve("errors"));
    }

    private List<String> mounts() throws IOException {
        return MountInfo.ofSelf().stream()
                .map(MountInfo::mountPoint)
                .filter(mountPoint -> mountPoint.startsWith(directory + "/"))
                .toList();
    }
}
