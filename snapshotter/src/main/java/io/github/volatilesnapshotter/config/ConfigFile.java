package io.github.volatilesnapshotter.config;

import io.github.volatilesnapshotter.config.Config.Containerd;
import io.github.volatilesnapshotter.config.Config.Grpc;
import io.github.volatilesnapshotter.config.Config.Layers;
import io.github.volatilesnapshotter.config.Config.Log;
import io.github.volatilesnapshotter.config.Config.Metrics;
import io.github.volatilesnapshotter.config.Config.Poison;
import io.github.volatilesnapshotter.config.Config.Usage;
import io.github.volatilesnapshotter.config.Config.VolatileUppers;
import io.github.volatilesnapshotter.config.Config.Watch;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.System.Logger.Level;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.tomlj.Toml;
import org.tomlj.TomlParseResult;

/**
 * Reads and writes the configuration file, which is TOML. Reading collects every problem with its line and column instead of stopping
 * at the first one.
 */
public final class ConfigFile {
    private static final int VERSION = 1;
    private static final String DEFAULT_RESOURCE = "config.toml";
    private static final int MAXIMUM_UID = Integer.MAX_VALUE;

    private ConfigFile() {}

    /**
     * The named file, which must exist.
     *
     * @throws ConfigException if it is no valid configuration
     * @throws IOException if it cannot be read
     */
    public static Config read(Path file) throws ConfigException, IOException {
        if (Files.isDirectory(file)) {
            throw new ConfigException(file + " is a directory; name the configuration file in it");
        }
        return parse(file.toString(), text(file, Files.readAllBytes(file)));
    }

    private static String text(Path file, byte[] bytes) throws ConfigException {
        ByteBuffer unread = ByteBuffer.wrap(bytes);
        CharBuffer text = CharBuffer.allocate(bytes.length);
        // Without replacement it stops before the first bytes that are no character.
        CoderResult result = StandardCharsets.UTF_8.newDecoder().decode(unread, text, true);
        text.flip();
        if (result.isError()) {
            long line = 1 + text.chars().filter(character -> character == '\n').count();
            throw new ConfigException(file + " is not UTF-8 text, line " + line + "; save it as UTF-8");
        }
        return text.toString();
    }

    /** The default file, or the defaults where it does not exist. */
    public static Config readDefault() throws ConfigException, IOException {
        return Files.exists(Config.DEFAULT_FILE) ? read(Config.DEFAULT_FILE) : Config.defaults();
    }

    /** The file that documents every key, with the defaults as its values. */
    public static String documentedDefaults() {
        try (InputStream resource = ConfigFile.class.getResourceAsStream(DEFAULT_RESOURCE)) {
            if (resource == null) {
                throw new IllegalStateException("resource " + DEFAULT_RESOURCE + " is missing from the jar");
            }
            return new String(resource.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** The configuration as a file without comments; {@link #parse} gives back an equal one. */
    public static String write(Config config) {
        return """
                version = %d
                root = %s
                state = %s
                address = %s

                [grpc]
                allowed_uids = [%s]
                worker_threads = %d
                queue_length = %d
                call_timeout_millis = %d
                stop_timeout_millis = %d

                [volatile]
                default = %b
                on_sick = %s

                [layers]
                sync = %s
                early_writeback_interval_millis = %d
                commit_timeout_millis = %d

                [watch]
                interval_millis = %d
                probe_interval_millis = %d
                probe_timeout_millis = %d

                [poison]
                mode = %s

                [containerd]
                address = %s
                call_timeout_millis = %d
                retry_pause_millis = %d

                [metrics]
                address = %s

                [usage]
                cache_millis = %d

                [log]
                level = %s
                """.formatted(
                        VERSION,
                        quoted(config.root()),
                        quoted(config.state()),
                        config.address().map(ConfigFile::quoted).orElse("\"\""),
                        config.grpc().allowedUids().stream()
                                .sorted()
                                .map(String::valueOf)
                                .collect(Collectors.joining(", ")),
                        config.grpc().workerThreads(),
                        config.grpc().queueLength(),
                        config.grpc().callTimeoutMillis(),
                        config.grpc().stopTimeoutMillis(),
                        config.volatileUppers().byDefault(),
                        quoted(Section.word(config.volatileUppers().onSick())),
                        quoted(Section.word(config.layers().sync())),
                        config.layers().earlyWritebackIntervalMillis(),
                        config.layers().commitTimeoutMillis(),
                        config.watch().intervalMillis(),
                        config.watch().probeIntervalMillis(),
                        config.watch().probeTimeoutMillis(),
                        quoted(Section.word(config.poison().mode())),
                        config.containerd().address().map(ConfigFile::quoted).orElse("\"\""),
                        config.containerd().callTimeoutMillis(),
                        config.containerd().retryPauseMillis(),
                        config.metrics().address().map(ConfigFile::quoted).orElse("\"\""),
                        config.usage().cacheMillis(),
                        quoted(Section.word(config.log().level())));
    }

    static Config parse(String source, String text) throws ConfigException {
        TomlParseResult toml = Toml.parse(text);
        List<String> problems = new ArrayList<>();
        toml.errors().forEach(error -> problems.add(Section.at(error.position()) + ": " + error.getMessage()));
        if (!problems.isEmpty()) {
            throw new ConfigException(source, problems);
        }
        Config config = config(new Section("", toml, problems));
        if (!problems.isEmpty()) {
            throw new ConfigException(source, problems);
        }
        return config;
    }

    private static Config config(Section file) {
        Config defaults = Config.defaults();
        file.requireVersion(VERSION);
        Config config = new Config(
                file.path("root", defaults.root()),
                file.path("state", defaults.state()),
                file.optionalPath("address", defaults.address()),
                grpc(file.section("grpc"), defaults.grpc()),
                volatileUppers(file.section("volatile"), defaults.volatileUppers()),
                layers(file.section("layers"), defaults.layers()),
                watch(file.section("watch"), defaults.watch()),
                poison(file.section("poison"), defaults.poison()),
                containerd(file.section("containerd"), defaults.containerd()),
                metrics(file.section("metrics"), defaults.metrics()),
                usage(file.section("usage"), defaults.usage()),
                log(file.section("log"), defaults.log()));
        file.refuseUnknownKeys();
        return config;
    }

    private static Grpc grpc(Section section, Grpc defaults) {
        Grpc grpc = new Grpc(
                section.integers("allowed_uids", defaults.allowedUids(), 0, MAXIMUM_UID),
                section.integer("worker_threads", defaults.workerThreads(), 1, 256),
                section.integer("queue_length", defaults.queueLength(), 1, 100_000),
                section.integer("call_timeout_millis", (int) defaults.callTimeoutMillis(), 1_000, 3_600_000),
                section.integer("stop_timeout_millis", (int) defaults.stopTimeoutMillis(), 0, 600_000));
        section.refuseUnknownKeys();
        return grpc;
    }

    private static VolatileUppers volatileUppers(Section section, VolatileUppers defaults) {
        VolatileUppers uppers = new VolatileUppers(
                section.bool("default", defaults.byDefault()),
                section.choice("on_sick", defaults.onSick(), List.of(VolatileUppers.OnSick.values())));
        section.refuseUnknownKeys();
        return uppers;
    }

    private static Layers layers(Section section, Layers defaults) {
        Layers layers = new Layers(
                section.choice("sync", defaults.sync(), List.of(Layers.Sync.values())),
                section.integer(
                        "early_writeback_interval_millis", (int) defaults.earlyWritebackIntervalMillis(), 0, 60_000),
                section.integer("commit_timeout_millis", (int) defaults.commitTimeoutMillis(), 1_000, 3_600_000));
        section.refuseUnknownKeys();
        return layers;
    }

    private static Watch watch(Section section, Watch defaults) {
        Watch watch = new Watch(
                section.integer("interval_millis", (int) defaults.intervalMillis(), 10, 3_600_000),
                section.integer("probe_interval_millis", (int) defaults.probeIntervalMillis(), 100, 3_600_000),
                section.integer("probe_timeout_millis", (int) defaults.probeTimeoutMillis(), 100, 600_000));
        section.refuseUnknownKeys();
        return watch;
    }

    private static Poison poison(Section section, Poison defaults) {
        Poison poison = new Poison(section.choice("mode", defaults.mode(), List.of(Poison.Mode.values())));
        section.refuseUnknownKeys();
        return poison;
    }

    private static Containerd containerd(Section section, Containerd defaults) {
        Containerd containerd = new Containerd(
                section.optionalPath("address", defaults.address()),
                section.integer("call_timeout_millis", (int) defaults.callTimeoutMillis(), 100, 600_000),
                section.integer("retry_pause_millis", (int) defaults.retryPauseMillis(), 100, 600_000));
        section.refuseUnknownKeys();
        return containerd;
    }

    private static Metrics metrics(Section section, Metrics defaults) {
        Metrics metrics = new Metrics(section.optionalListenAddress("address", defaults.address()));
        section.refuseUnknownKeys();
        return metrics;
    }

    private static Usage usage(Section section, Usage defaults) {
        Usage usage = new Usage(section.integer("cache_millis", (int) defaults.cacheMillis(), 0, 3_600_000));
        section.refuseUnknownKeys();
        return usage;
    }

    private static Log log(Section section, Log defaults) {
        Log log = new Log(section.choice(
                "level", defaults.level(), List.of(Level.TRACE, Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR)));
        section.refuseUnknownKeys();
        return log;
    }

    private static String quoted(Object value) {
        return "\"" + Toml.tomlEscape(value.toString()) + "\"";
    }
}
