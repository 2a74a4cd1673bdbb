package io.github.volatilesnapshotter.config;

import java.lang.System.Logger.Level;
import java.nio.file.Path;
import java.util.Optional;
import java.util.Set;

/**
 * Everything that can be set, a record for each section of the file. What each value means, its default and its bounds are
 * documented in the resource {@code config.toml} beside this class, which holds the same defaults as {@link #defaults()}.
 *
 * @param root where snapshots and metadata lie
 * @param state where the socket and the sentinels are
 * @param address the socket to serve on; empty means {@value #SOCKET_NAME} below {@code state}
 */
public record Config(
        Path root,
        Path state,
        Optional<Path> address,
        Grpc grpc,
        VolatileUppers volatileUppers,
        Layers layers,
        Watch watch,
        Poison poison,
        Containerd containerd,
        Metrics metrics,
        Usage usage,
        Log log) {

    /** Where the file is looked for if none is named; it may be missing. */
    public static final Path DEFAULT_FILE = Path.of("/etc/containerd-volatile-grpc/config.toml");

    static final String SOCKET_NAME = "containerd-volatile-grpc.sock";

    /**
     * {@code [grpc]}.
     *
     * @param allowedUids the uids whose processes may connect
     * @param workerThreads threads for calls that mount
     * @param queueLength calls that may wait in each lane
     * @param callTimeoutMillis after how long a call is answered although it is not done; a Commit has {@link Layers} on top
     * @param stopTimeoutMillis how long a stop waits for running calls
     */
    public record Grpc(
            Set<Integer> allowedUids,
            int workerThreads,
            int queueLength,
            long callTimeoutMillis,
            long stopTimeoutMillis) {
        public Grpc {
            allowedUids = Set.copyOf(allowedUids);
        }
    }

    /**
     * {@code [volatile]}.
     *
     * @param byDefault whether an active that nothing else decides about is volatile
     * @param onSick what a volatile snapshot gets while its filesystem's errors keep coming
     */
    public record VolatileUppers(boolean byDefault, OnSick onSick) {
        /** In place of a volatile overlay. */
        public enum OnSick {
            DURABLE,
            REFUSE
        }
    }

    /**
     * {@code [layers]}.
     *
     * @param sync how much of its filesystem a Commit writes back
     * @param earlyWritebackIntervalMillis time between two looks for what layers that are being unpacked have to write back; 0: none
     * @param commitTimeoutMillis how long Commit may take before it is answered with UNAVAILABLE
     */
    public record Layers(Sync sync, long earlyWritebackIntervalMillis, long commitTimeoutMillis) {
        /** The layer alone, or everything; {@code AUTO}: the layer alone while volatile uppers lie beside it. */
        public enum Sync {
            AUTO,
            SYNCFS,
            TARGETED
        }
    }

    /**
     * {@code [watch]}.
     *
     * @param intervalMillis time between two questions to the sentinel
     * @param probeIntervalMillis time between two write probes
     * @param probeTimeoutMillis after which a write probe that does not come back means that the disk hangs
     */
    public record Watch(long intervalMillis, long probeIntervalMillis, long probeTimeoutMillis) {}

    /** {@code [poison]}. */
    public record Poison(Mode mode) {
        /** What happens to the container on a poisoned snapshot. */
        public enum Mode {
            KILL,
            REPORT
        }
    }

    /**
     * {@code [containerd]}.
     *
     * @param address containerd's own socket; empty: containerd is never called
     * @param callTimeoutMillis deadline of one call
     * @param retryPauseMillis the longest pause before a kill that failed is tried again
     */
    public record Containerd(Optional<Path> address, long callTimeoutMillis, long retryPauseMillis) {}

    /**
     * {@code [metrics]}.
     *
     * @param address where metrics are served over HTTP; empty: not at all
     */
    public record Metrics(Optional<ListenAddress> address) {}

    /**
     * {@code [usage]}.
     *
     * @param cacheMillis how long a counted usage of an active is given again
     */
    public record Usage(long cacheMillis) {}

    /** {@code [log]}: lines below this level are not written. */
    public record Log(Level level) {}

    /** What holds where nothing is set. */
    public static Config defaults() {
        return new Config(
                Path.of("/var/lib/containerd-volatile-grpc"),
                Path.of("/run/containerd-volatile-grpc"),
                Optional.empty(),
                new Grpc(Set.of(0), 8, 256, 90_000, 10_000),
                new VolatileUppers(true, VolatileUppers.OnSick.DURABLE),
                new Layers(Layers.Sync.AUTO, 50, 120_000),
                new Watch(1_000, 10_000, 10_000),
                new Poison(Poison.Mode.KILL),
                new Containerd(Optional.empty(), 10_000, 30_000),
                new Metrics(Optional.empty()),
                new Usage(2_000),
                new Log(Level.INFO));
    }

    /** The socket to serve on. */
    public Path socket() {
        return address.orElseGet(() -> state.resolve(SOCKET_NAME));
    }
}
