package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
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

    private Path socket() {
        return directory.resolve("state/s");
    }

    private void serve(String... more) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin/java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-XX:TieredStopAtLevel=1",
                "-cp",
                System.getProperty("java.class.path"),
                ContainerdVolatileGrpc.class.getName(),
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
