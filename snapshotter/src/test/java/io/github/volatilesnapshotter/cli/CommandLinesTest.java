package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.config.ConfigFile;
import io.github.volatilesnapshotter.grpc.ServerFixture;
import io.github.volatilesnapshotter.snapshot.FakeSnapshotter;
import io.github.volatilesnapshotter.snapshot.Labels;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.Isolated;

@Timeout(60)
@Isolated("takes standard output and standard error")
class CommandLinesTest {
    @TempDir
    private Path directory;

    @AutoClose
    private final TakenStreams streams = new TakenStreams();

    @Test
    void config_default_prints_the_documented_file() {
        assertThat(daemon("config", "default")).isZero();

        assertThat(output()).isEqualTo(ConfigFile.documentedDefaults());
    }

    @Test
    void an_empty_path_is_refused_and_does_not_mean_the_current_directory() {
        assertThat(daemon("config", "dump", "--root=")).isNotZero();

        assertThat(streams.errors()).contains("--root is empty");
        assertThat(Volatilectl.program().run("health", "--address=")).isEqualTo(ExitCode.WRONG_USAGE);
    }

    @Test
    void a_relative_path_is_meant_from_the_current_directory() {
        Path here = Path.of("").toAbsolutePath();

        assertThat(daemon("config", "dump", "--root", "r/../root", "--state=./state", "--address", "s.sock"))
                .isZero();

        assertThat(output())
                .contains("root = \"" + here.resolve("root") + "\"")
                .contains("state = \"" + here.resolve("state") + "\"")
                .contains("address = \"" + here.resolve("s.sock") + "\"");
    }

    @Test
    void a_relative_path_in_the_file_is_refused_because_it_would_depend_on_who_starts_the_daemon() throws Exception {
        Path file = Files.writeString(directory.resolve("config.toml"), "version = 1\nroot = \"here\"\n");

        assertThat(daemon("config", "check", "--config", file.toString())).isEqualTo(ExitCode.FAILED);

        assertThat(errors()).contains("line 2, column 1: root must be an absolute path");
    }

    @Test
    void a_configuration_file_that_is_a_directory_is_told_in_one_line() {
        assertThat(daemon("config", "check", "--config", directory.toString())).isEqualTo(ExitCode.FAILED);

        assertThat(errors()).isEqualTo("error: " + directory + " is a directory; name the configuration file in it\n");
    }

    @Test
    void flags_override_the_file() throws Exception {
        Path file = Files.writeString(
                directory.resolve("config.toml"), "version = 1\nroot = \"/file\"\nstate = \"/file-state\"\n");

        assertThat(daemon(
                        "config",
                        "dump",
                        "--config",
                        file.toString(),
                        "--root",
                        "/flag",
                        "--address",
                        "/flag.sock",
                        "--containerd-address",
                        "/c.sock",
                        "--metrics-address",
                        "127.0.0.1:0",
                        "--log-level",
                        "debug"))
                .isZero();

        assertThat(output())
                .contains("root = \"/flag\"", "state = \"/file-state\"", "address = \"/flag.sock\"")
                .contains("address = \"/c.sock\"", "address = \"127.0.0.1:0\"", "level = \"debug\"");
    }

    @Test
    void config_check_tells_every_problem_with_its_place() throws Exception {
        Path file = Files.writeString(directory.resolve("config.toml"), "version = 1\nrot = \"/r\"\n");

        assertThat(daemon("config", "check", "--config", file.toString())).isEqualTo(ExitCode.FAILED);

        assertThat(errors()).contains("line 2, column 1: rot is not known; did you mean root?");
    }

    @Test
    void a_named_configuration_file_that_is_missing_stops_serve() {
        Path missing = directory.resolve("missing.toml");

        assertThat(daemon("serve", "--config", missing.toString())).isEqualTo(ExitCode.FAILED);

        assertThat(errors()).isEqualTo("error: " + missing + " does not exist\n");
    }

    @Test
    void wrong_usage_is_two() {
        assertThat(daemon("serve", "--no-such-flag")).isEqualTo(ExitCode.WRONG_USAGE);
        assertThat(daemon("config", "dump", "--metrics-address", "9090")).isEqualTo(ExitCode.WRONG_USAGE);
        assertThat(daemon("config", "dump", "--log-level", "loud")).isEqualTo(ExitCode.WRONG_USAGE);
        assertThat(errors()).contains("--no-such-flag", "HOST:PORT", "--log-level LEVEL must be trace, debug");
    }

    @Test
    void what_cannot_be_understood_is_named() {
        assertUsageError("no command given");
        assertUsageError("unknown command frobnicate", "frobnicate");
        assertUsageError("unknown command config", "config");
        assertUsageError("expected containerd-volatile-grpc doctor", "doctor", "more");
        assertUsageError("config check has no flag --unmount-on-stop", "config", "check", "--unmount-on-stop");
        assertUsageError("--root needs a value: --root DIR", "config", "check", "--root");
        assertUsageError("--root is given twice", "config", "check", "--root", "/a", "--root=/b");
        assertUsageError("--unmount-on-stop takes no value", "serve", "--unmount-on-stop=yes");
    }

    @Test
    void help_shows_the_commands_that_begin_with_the_words() {
        assertThat(daemon("--help")).isZero();
        assertThat(output())
                .contains("containerd-volatile-grpc serve", "config dump", "--unmount-on-stop", "--version");

        streams.forget();
        assertThat(daemon("config", "--help")).isZero();
        assertThat(output())
                .contains("config default", "config check", "--root DIR")
                .doesNotContain("--unmount-on-stop");

        streams.forget();
        assertThat(daemon("serve", "--help")).isZero();
        assertThat(output()).contains("--unmount-on-stop").doesNotContain("config dump");
    }

    @Test
    void the_help_of_one_command_says_more() {
        assertThat(Volatilectl.program().run("--help")).isZero();
        assertThat(output())
                .contains("--config FILE", "if none runs.", "Of backup, restore, recovery.", "Of backup.")
                .doesNotContain("default/5/web-1", "lost-layer");

        streams.forget();
        assertThat(Volatilectl.program().run("recovery", "--help")).isZero();
        assertThat(output())
                .contains("  watched           whether a sentinel", "  lost-layer        a committed snapshot");

        streams.forget();
        assertThat(Volatilectl.program().run("info", "--help")).isZero();
        assertThat(output()).contains("web-1 in the namespace default is default/5/web-1");

        streams.forget();
        assertThat(Volatilectl.program().run("backup", "--help")).isZero();
        assertThat(output()).contains("The records stay as they");
    }

    @Test
    void volatilectl_takes_root_and_socket_from_the_configuration() throws Exception {
        Path file = Files.writeString(
                directory.resolve("config.toml"),
                "version = 1\nroot = \"%1$s/root\"\naddress = \"%1$s/s.sock\"\n".formatted(directory));

        assertThat(Volatilectl.program().run("health", "--config", file.toString()))
                .isEqualTo(ExitCode.UNREACHABLE);
        assertThat(Volatilectl.program().run("recovery", "--config=" + file)).isEqualTo(ExitCode.FAILED);
        assertThat(errors())
                .contains("nobody answers on " + directory.resolve("s.sock"))
                .contains("no start has left a report below " + directory.resolve("root"));

        Files.writeString(file, "rot = 1\n");
        assertThat(control(directory.resolve("other.sock"), "health", "--config", file.toString()))
                .as("a file that is not needed is not read")
                .isEqualTo(ExitCode.UNREACHABLE);
    }

    @Test
    void config_check_says_what_targeted_sync_depends_on() throws Exception {
        Path file = Files.writeString(directory.resolve("config.toml"), "version = 1\n[layers]\nsync = \"targeted\"\n");

        assertThat(daemon("config", "check", "--config", file.toString())).isZero();

        assertThat(output())
                .startsWith("ok\nnote: layers.sync = \"targeted\": serve refuses to start")
                .contains("doctor");
    }

    @Test
    void the_version_is_told() {
        assertThat(daemon("--version")).isZero();
        assertThat(output()).startsWith("containerd-volatile-grpc ");
    }

    @Test
    void volatilectl_lists_snapshots_with_their_poison() throws Exception {
        FakeSnapshotter snapshotter = new FakeSnapshotter();
        snapshotter.prepare("ns/1/good", "", Map.of());
        snapshotter.prepare("ns/2/bad", "", Map.of(Labels.POISONED, "writeback-error"));
        try (ServerFixture fixture = new ServerFixture(directory, snapshotter)) {
            assertThat(control(fixture.socket, "snapshots")).isZero();
        }

        assertThat(output().lines().toList().getFirst()).matches("KIND +POISON +KEY");
        assertThat(output().lines().skip(1).map(line -> line.split(" +")))
                .containsExactlyInAnyOrder(
                        new String[] {"active", "-", "ns/1/good"},
                        new String[] {"active", "writeback-error", "ns/2/bad"});
    }

    @Test
    void volatilectl_shows_one_snapshot_and_its_usage() throws Exception {
        FakeSnapshotter snapshotter = new FakeSnapshotter();
        snapshotter.prepare("ns/1/a", "", Map.of("label", "value"));
        try (ServerFixture fixture = new ServerFixture(directory, snapshotter)) {
            assertThat(control(fixture.socket, "info", "ns/1/a")).isZero();
            assertThat(control(fixture.socket, "usage", "ns/1/a")).isZero();
        }

        assertThat(output())
                .contains("key      ns/1/a", "kind     active", "label    label=value", "4096 bytes, 1 inodes");
        assertThat(output()).contains("created  " + FakeSnapshotter.CREATED_AT);
    }

    @Test
    void after_two_dashes_a_key_may_begin_with_a_dash() throws Exception {
        FakeSnapshotter snapshotter = new FakeSnapshotter();
        snapshotter.prepare("--key", "", Map.of());
        try (ServerFixture fixture = new ServerFixture(directory, snapshotter)) {
            assertThat(Volatilectl.program().run("info", "--address=" + fixture.socket, "--", "--key"))
                    .isZero();
        }

        assertThat(output()).contains("key      --key");
    }

    @Test
    void volatilectl_tells_a_refusal_and_exits_with_one() throws Exception {
        try (ServerFixture fixture = new ServerFixture(directory, new FakeSnapshotter())) {
            assertThat(control(fixture.socket, "info", "nobody")).isEqualTo(ExitCode.FAILED);
            // The server, when it is closed, may log that the client's connection was still there.
            assertThat(errors()).isEqualTo("error: NOT_FOUND: snapshot nobody does not exist\n");
        }
    }

    @Test
    void volatilectl_health_exits_with_one_while_nothing_is_served() throws Exception {
        try (ServerFixture fixture = new ServerFixture(directory, new FakeSnapshotter())) {
            assertThat(control(fixture.socket, "health")).isZero();
            fixture.server.setServing(false);
            assertThat(control(fixture.socket, "health")).isEqualTo(ExitCode.FAILED);
        }

        assertThat(output()).isEqualTo("serving\nnot serving\n");
    }

    @Test
    void volatilectl_says_why_nobody_answers_and_exits_with_three() {
        assertThat(control(directory.resolve("nobody.sock"), "health")).isEqualTo(ExitCode.UNREACHABLE);

        assertThat(errors()).contains("error: nobody answers on", "nobody.sock: No such file or directory");
    }

    private void assertUsageError(String message, String... arguments) {
        streams.forget();
        assertThat(daemon(arguments)).isEqualTo(ExitCode.WRONG_USAGE);
        assertThat(errors()).isEqualTo("error: " + message + "\nSee containerd-volatile-grpc --help\n");
    }

    private static int daemon(String... arguments) {
        return ContainerdVolatileGrpc.program().run(arguments);
    }

    private static int control(Path socket, String... arguments) {
        String[] all = new String[arguments.length + 2];
        System.arraycopy(arguments, 0, all, 0, arguments.length);
        all[arguments.length] = "--address";
        all[arguments.length + 1] = socket.toString();
        return Volatilectl.program().run(all);
    }

    private String output() {
        return streams.output();
    }

    private String errors() {
        return streams.errors();
    }
}
