package io.github.volatilesnapshotter.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import java.io.IOException;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ConfigFileTest {
    @TempDir
    private Path directory;

    @Test
    void the_documented_file_holds_the_defaults() throws ConfigException {
        assertThat(parse(ConfigFile.documentedDefaults())).isEqualTo(Config.defaults());
    }

    @Test
    void the_documented_file_names_every_key_that_a_written_one_has() {
        assertThat(keysOf(ConfigFile.documentedDefaults())).isEqualTo(keysOf(ConfigFile.write(Config.defaults())));
    }

    @Test
    void the_reference_documents_every_key() throws IOException {
        String reference = Files.readString(Path.of(System.getProperty("project.root"), "docs/configuration.md"));

        for (String key : keysOf(ConfigFile.documentedDefaults())) {
            assertThat(reference).contains("| `" + key + "` |");
        }
    }

    @Test
    void a_file_that_is_not_utf_8_is_refused_with_the_line() throws IOException {
        Path file = Files.write(
                directory.resolve("latin-1.toml"),
                "version = 1\n# gr\u00fc\u00df\n".getBytes(StandardCharsets.ISO_8859_1));

        assertThatExceptionOfType(ConfigException.class)
                .isThrownBy(() -> ConfigFile.read(file))
                .withMessage(file + " is not UTF-8 text, line 2; save it as UTF-8");
    }

    @Test
    void text_beyond_ascii_is_read() throws Exception {
        Path file = Files.writeString(directory.resolve("utf-8.toml"), "version = 1\nroot = \"/gr\u00fc\u00df\"\n");

        assertThat(ConfigFile.read(file).root()).isEqualTo(Path.of("/gr\u00fc\u00df"));
    }

    @Test
    void a_directory_is_no_configuration_file() {
        assertThatExceptionOfType(ConfigException.class)
                .isThrownBy(() -> ConfigFile.read(directory))
                .withMessage(directory + " is a directory; name the configuration file in it");
    }

    @Test
    void only_the_version_is_needed() throws ConfigException {
        assertThat(parse("version = 1")).isEqualTo(Config.defaults());
    }

    @Test
    void every_value_is_read_and_written_again() throws ConfigException {
        Config config = parse("""
                version = 1
                root = "/r"
                state = "/s"
                address = "/a.sock"
                [grpc]
                allowed_uids = [0, 1000]
                worker_threads = 3
                queue_length = 5
                call_timeout_millis = 6000
                stop_timeout_millis = 7
                [volatile]
                default = false
                on_sick = "refuse"
                [layers]
                sync = "targeted"
                early_writeback_interval_millis = 501
                commit_timeout_millis = 1001
                [watch]
                interval_millis = 11
                probe_interval_millis = 102
                probe_timeout_millis = 103
                [poison]
                mode = "report"
                [containerd]
                address = "/c.sock"
                call_timeout_millis = 101
                retry_pause_millis = 103
                [metrics]
                address = "[::1]:9090"
                [usage]
                cache_millis = 17
                [log]
                level = "debug"
                """);

        assertThat(config)
                .isEqualTo(new Config(
                        Path.of("/r"),
                        Path.of("/s"),
                        Optional.of(Path.of("/a.sock")),
                        new Config.Grpc(Set.of(0, 1000), 3, 5, 6_000, 7),
                        new Config.VolatileUppers(false, Config.VolatileUppers.OnSick.REFUSE),
                        new Config.Layers(Config.Layers.Sync.TARGETED, 501, 1001),
                        new Config.Watch(11, 102, 103),
                        new Config.Poison(Config.Poison.Mode.REPORT),
                        new Config.Containerd(Optional.of(Path.of("/c.sock")), 101, 103),
                        new Config.Metrics(Optional.of(new ListenAddress("[::1]", 9090))),
                        new Config.Usage(17),
                        new Config.Log(Level.DEBUG)));
        assertThat(parse(ConfigFile.write(config))).isEqualTo(config);
    }

    @Test
    void the_socket_lies_below_the_state_directory_unless_it_is_named() throws ConfigException {
        assertThat(parse("version = 1\nstate = \"/s\"").socket())
                .isEqualTo(Path.of("/s/containerd-volatile-grpc.sock"));
        assertThat(parse("version = 1\naddress = \"/a.sock\"").socket()).isEqualTo(Path.of("/a.sock"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "root = \"relative\"                | line 2, column 1: root must be an absolute path",
                "root = 1                           | line 2, column 1: root must be an absolute path",
                "rot = \"/r\"                       | line 2, column 1: rot is not known; did you mean root?",
                "grpc = 1                           | line 2, column 1: grpc must be a table, written [grpc]",
                "grpc.worker_thread = 1             | grpc.worker_thread is not known; did you mean grpc.worker_threads?",
                "grpc.worker_threads = 0            | grpc.worker_threads must be a whole number from 1 to 256",
                "grpc.worker_threads = 257          | grpc.worker_threads must be a whole number from 1 to 256",
                "grpc.worker_threads = \"8\"        | grpc.worker_threads must be a whole number from 1 to 256",
                "grpc.allowed_uids = []             | grpc.allowed_uids must be a list",
                "grpc.allowed_uids = [0, -1]        | grpc.allowed_uids must be a list",
                "volatile.default = \"yes\"         | volatile.default must be true or false",
                "poison.mode = \"shrug\"            | poison.mode must be one of \"kill\", \"report\"",
                "containerd.address = \"c.sock\"    | containerd.address must be an absolute path, or empty",
                "metrics.address = \"9090\"         | metrics.address must be HOST:PORT, or empty",
                "log.level = \"loud\"               | log.level must be one of \"trace\", \"debug\", \"info\"",
                "root = \"/a\\u0000b\"              | root must be an absolute path",
                "root =                             | line 2, column",
            })
    void what_cannot_be_used_is_refused_with_its_place_and_the_rule(String line, String problem) {
        assertRefused("version = 1\n" + line, problem);
    }

    @Test
    void a_missing_or_unknown_version_is_refused() {
        assertRefused("root = \"/r\"", "version is missing; write version = 1");
        assertRefused("version = 2", "line 1, column 1: version must be 1");
    }

    @Test
    void all_problems_are_told_at_once() {
        assertRefused(
                "version = 1\nrot = 1\n[log]\nlevel = 3\n", "line 2, column 1: rot", "line 4, column 1: log.level");
    }

    @Test
    void a_named_file_must_exist() {
        assertThatExceptionOfType(NoSuchFileException.class)
                .isThrownBy(() -> ConfigFile.read(directory.resolve("missing.toml")));
    }

    @Test
    void the_message_names_the_file() throws IOException {
        Path file = Files.writeString(directory.resolve("config.toml"), "version = 3");

        assertThatExceptionOfType(ConfigException.class)
                .isThrownBy(() -> ConfigFile.read(file))
                .withMessageStartingWith(file + ":\n");
    }

    private static Config parse(String text) throws ConfigException {
        return ConfigFile.parse("test", text);
    }

    private static void assertRefused(String text, String... problems) {
        assertThatExceptionOfType(ConfigException.class)
                .isThrownBy(() -> parse(text))
                .satisfies(e -> assertThat(e.getMessage()).contains(problems));
    }

    /** {@code section.key} for each line with a value. */
    private static Set<String> keysOf(String text) {
        String section = "";
        Set<String> keys = new java.util.TreeSet<>();
        for (String line : text.lines().toList()) {
            var table = Pattern.compile("\\[(\\w+)]").matcher(line);
            var value = Pattern.compile("(\\w+) = .*").matcher(line);
            if (table.matches()) {
                section = table.group(1) + ".";
            } else if (value.matches()) {
                keys.add(section + value.group(1));
            }
        }
        return keys;
    }
}
