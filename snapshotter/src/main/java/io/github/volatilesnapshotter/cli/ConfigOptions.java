package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.ConfigException;
import io.github.volatilesnapshotter.config.ConfigFile;
import io.github.volatilesnapshotter.config.ListenAddress;
import java.io.IOException;
import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** The configuration file and the flags that override it. */
final class ConfigOptions {
    @Option(
            names = "--config",
            paramLabel = "FILE",
            description =
                    "The configuration file, which must exist. Default: /etc/containerd-volatile-grpc/config.toml,"
                            + " where a missing file means the defaults.")
    private @Nullable Path file;

    @Option(names = "--root", paramLabel = "DIR", description = "Where snapshots and their records lie.")
    private @Nullable Path root;

    @Option(names = "--state", paramLabel = "DIR", description = "Where the socket and the sentinels are.")
    private @Nullable Path state;

    @Option(names = "--address", paramLabel = "SOCKET", description = "The unix socket to serve on.")
    private @Nullable Path address;

    @Option(
            names = "--containerd-address",
            paramLabel = "SOCKET",
            description = "containerd's socket, to kill containers on poisoned snapshots.")
    private @Nullable Path containerdAddress;

    @Option(
            names = "--metrics-address",
            paramLabel = "HOST:PORT",
            description = "Where to serve /metrics, /healthz and /readyz.")
    private @Nullable ListenAddress metricsAddress;

    @Option(names = "--log-level", paramLabel = "LEVEL", description = "trace, debug, info, warning or error.")
    private @Nullable Level logLevel;

    /** The file's configuration, or the defaults, under the flags that were given. */
    Config load() throws ConfigException, IOException {
        Config fromFile = file == null ? ConfigFile.readDefault() : ConfigFile.read(file);
        return new Config(
                absoluteOr(root, fromFile.root()),
                absoluteOr(state, fromFile.state()),
                address == null ? fromFile.address() : Optional.of(address.toAbsolutePath()),
                fromFile.grpc(),
                fromFile.volatileUppers(),
                fromFile.layers(),
                fromFile.watch(),
                fromFile.poison(),
                containerd(fromFile.containerd()),
                metricsAddress == null ? fromFile.metrics() : new Config.Metrics(Optional.of(metricsAddress)),
                fromFile.usage(),
                logLevel == null ? fromFile.log() : new Config.Log(logLevel));
    }

    private Config.Containerd containerd(Config.Containerd fromFile) {
        return containerdAddress == null
                ? fromFile
                : new Config.Containerd(
                        Optional.of(containerdAddress.toAbsolutePath()),
                        fromFile.callTimeoutMillis(),
                        fromFile.retryTimeoutMillis());
    }

    private static Path absoluteOr(@Nullable Path given, Path otherwise) {
        return given == null ? otherwise : given.toAbsolutePath();
    }
}
