package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.ConfigException;
import io.github.volatilesnapshotter.config.ConfigFile;
import io.github.volatilesnapshotter.config.ListenAddress;
import java.io.IOException;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** The configuration file and the flags that override it. */
final class ConfigFlags {
    static final Flag FILE = new Flag(
            "--config",
            "FILE",
            "The configuration file, which must exist.\nDefault: " + Config.DEFAULT_FILE + ", if it exists.");
    private static final Flag ROOT = new Flag("--root", "DIR", "Where snapshots and their records lie.");
    private static final Flag STATE = new Flag("--state", "DIR", "Where the socket and the sentinels are.");
    private static final Flag ADDRESS = new Flag("--address", "SOCKET", "The unix socket to serve on.");
    private static final Flag CONTAINERD_ADDRESS = new Flag(
            "--containerd-address", "SOCKET", "containerd's socket, to kill containers on poisoned snapshots.");
    private static final Flag METRICS_ADDRESS =
            new Flag("--metrics-address", "HOST:PORT", "Where to serve /metrics, /healthz and /readyz.");
    private static final Flag LOG_LEVEL = new Flag("--log-level", "LEVEL", "trace, debug, info, warning or error.");

    static final List<Flag> ALL = List.of(FILE, ROOT, STATE, ADDRESS, CONTAINERD_ADDRESS, METRICS_ADDRESS, LOG_LEVEL);

    private ConfigFlags() {}

    /**
     * The file's configuration, or the defaults, under the flags that were given.
     *
     * @throws UsageException if a flag's value cannot be used
     */
    static Config load(Arguments flags) throws UsageException, ConfigException, IOException {
        Optional<Path> file = flags.pathOf(FILE);
        Config fromFile = file.isPresent() ? ConfigFile.read(file.get()) : ConfigFile.readDefault();
        return new Config(
                flags.pathOf(ROOT).orElse(fromFile.root()),
                flags.pathOf(STATE).orElse(fromFile.state()),
                flags.pathOf(ADDRESS).or(fromFile::address),
                fromFile.grpc(),
                fromFile.volatileUppers(),
                fromFile.layers(),
                fromFile.watch(),
                fromFile.poison(),
                new Config.Containerd(
                        flags.pathOf(CONTAINERD_ADDRESS).or(fromFile.containerd()::address),
                        fromFile.containerd().callTimeoutMillis(),
                        fromFile.containerd().retryPauseMillis()),
                new Config.Metrics(listenAddress(flags).or(fromFile.metrics()::address)),
                fromFile.usage(),
                new Config.Log(level(flags).orElse(fromFile.log().level())));
    }

    private static Optional<ListenAddress> listenAddress(Arguments flags) throws UsageException {
        try {
            return flags.valueOf(METRICS_ADDRESS).map(ListenAddress::parse);
        } catch (IllegalArgumentException e) {
            throw new UsageException(METRICS_ADDRESS.name() + ": " + e.getMessage());
        }
    }

    private static Optional<Level> level(Arguments flags) throws UsageException {
        try {
            return flags.valueOf(LOG_LEVEL).map(text -> Level.valueOf(text.toUpperCase(Locale.ROOT)));
        } catch (IllegalArgumentException e) {
            throw new UsageException(LOG_LEVEL.usage() + " must be trace, debug, info, warning or error");
        }
    }
}
