package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.cli.SocketClient.UnreachableException;
import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageResponse;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckResponse.ServingStatus;
import io.github.volatilesnapshotter.snapshot.Labels;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Locale;
import java.util.TreeMap;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Asks a running daemon, over its socket. */
@Command(
        name = "volatilectl",
        description = "Asks a running containerd-volatile-grpc.",
        mixinStandardHelpOptions = true,
        versionProvider = Version.class,
        exitCodeListHeading = "%nExit codes:%n",
        exitCodeList = {"0:done", "1:refused, or not serving", "2:wrong usage", "3:nobody answers on the socket"})
public final class Volatilectl {
    private static final String ROW = "%-10s %-24s %s%n";

    @Option(
            names = "--address",
            paramLabel = "SOCKET",
            description = "The daemon's socket. Default: ${DEFAULT-VALUE}",
            scope = CommandLine.ScopeType.INHERIT)
    private Path address = Config.defaults().socket();

    private Volatilectl() {}

    public static void main(String[] arguments) {
        StandardErrorLog.install(System.Logger.Level.WARNING);
        System.exit(commandLine().execute(arguments));
    }

    static CommandLine commandLine() {
        return new CommandLine(new Volatilectl()).setExecutionExceptionHandler((failure, _, _) -> switch (failure) {
            case UnreachableException unreachable -> {
                Console.fail(unreachable);
                yield ExitCode.UNREACHABLE;
            }
            case StatusRuntimeException refused -> {
                Console.fail(refused);
                yield refused.getStatus().getCode() == Status.Code.UNAVAILABLE ? ExitCode.UNREACHABLE : ExitCode.FAILED;
            }
            default -> throw failure;
        });
    }

    @Command(name = "snapshots", description = "Lists snapshots: kind, poison, key.", mixinStandardHelpOptions = true)
    int snapshots() throws UnreachableException {
        try (SocketClient client = new SocketClient(address)) {
            Console.print(ROW.formatted("KIND", "POISON", "KEY"));
            client.list().forEachRemaining(batch -> batch.getInfoList().forEach(Volatilectl::printRow));
        }
        return ExitCode.OK;
    }

    @Command(name = "info", description = "Shows all that is known of one snapshot.", mixinStandardHelpOptions = true)
    int info(@Parameters(paramLabel = "KEY") String key) throws UnreachableException {
        try (SocketClient client = new SocketClient(address)) {
            Info info = client.stat(key);
            StringBuilder text = new StringBuilder();
            line(text, "key", info.getName());
            line(text, "kind", word(info.getKind()));
            line(text, "parent", info.getParent());
            line(text, "created", time(info.getCreatedAt()));
            line(text, "updated", time(info.getUpdatedAt()));
            new TreeMap<>(info.getLabelsMap()).forEach((label, value) -> line(text, "label", label + "=" + value));
            Console.print(text.toString());
        }
        return ExitCode.OK;
    }

    @Command(
            name = "usage",
            description = "Counts bytes and inodes of one snapshot, without its parents.",
            mixinStandardHelpOptions = true)
    int usage(@Parameters(paramLabel = "KEY") String key) throws UnreachableException {
        try (SocketClient client = new SocketClient(address)) {
            UsageResponse usage = client.usage(key);
            Console.print("%d bytes, %d inodes%n".formatted(usage.getSize(), usage.getInodes()));
        }
        return ExitCode.OK;
    }

    @Command(name = "health", description = "Asks whether the daemon serves.", mixinStandardHelpOptions = true)
    int health() throws UnreachableException {
        try (SocketClient client = new SocketClient(address)) {
            ServingStatus status = client.health();
            Console.print(status.name().toLowerCase(Locale.ROOT).replace('_', ' ') + "\n");
            return status == ServingStatus.SERVING ? ExitCode.OK : ExitCode.FAILED;
        }
    }

    private static void printRow(Info info) {
        String poison = info.getLabelsOrDefault(Labels.POISONED, "-");
        Console.print(ROW.formatted(word(info.getKind()), poison, info.getName()));
    }

    private static void line(StringBuilder text, String name, String value) {
        text.append("%-8s %s%n".formatted(name, value));
    }

    private static String word(Kind kind) {
        return kind.name().toLowerCase(Locale.ROOT);
    }

    private static String time(com.google.protobuf.Timestamp timestamp) {
        return Instant.ofEpochSecond(timestamp.getSeconds(), timestamp.getNanos())
                .toString();
    }
}
