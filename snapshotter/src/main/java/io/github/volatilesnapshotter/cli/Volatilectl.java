package io.github.volatilesnapshotter.cli;

import com.google.protobuf.Timestamp;
import io.github.volatilesnapshotter.cli.SocketClient.UnreachableException;
import io.github.volatilesnapshotter.config.ConfigException;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageResponse;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckResponse.ServingStatus;
import io.github.volatilesnapshotter.snapshot.Labels;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Stream;

/** Asks a running daemon, over its socket; and keeps its records. */
public final class Volatilectl {
    static final Flag ADDRESS = new Flag("--address", "SOCKET", "The daemon's socket.\nDefault: the configuration's.");
    private static final String KEYS = """
            KEY is what `volatilectl snapshots` lists: containerd's namespace, a number
            of containerd's, and what its client calls the snapshot. What `ctr` calls
            web-1 in the namespace default is default/5/web-1 here, a layer
            default/3/sha256:...""";
    private static final String ROW = "%-10s %-24s %s%n";

    /** What a command does with the daemon. */
    @FunctionalInterface
    private interface Question {
        int ask(SocketClient daemon, List<String> operands);
    }

    private Volatilectl() {}

    public static void main(String[] arguments) {
        StandardErrorLog.install(System.Logger.Level.WARNING);
        int exitCode = program().run(arguments);
        StandardErrorLog.flush();
        System.exit(exitCode);
    }

    static Program program() {
        return new Program(
                "volatilectl",
                "Asks a running containerd-volatile-grpc, and keeps its records.\n\n"
                        + "Exit codes: 0 done, 1 refused or not serving, 2 wrong usage, 3 nobody answers on the socket.",
                Stream.concat(questions().stream(), RecordsCommands.all().stream())
                        .toList(),
                Volatilectl::report);
    }

    private static List<Command> questions() {
        return List.of(
                command(
                        "snapshots",
                        List.of(),
                        "List snapshots: kind, poison, key.",
                        "",
                        (daemon, _) -> snapshots(daemon)),
                command(
                        "info",
                        List.of("KEY"),
                        "Show all that is known of one snapshot.",
                        KEYS,
                        (daemon, operands) -> info(daemon, operands.getFirst())),
                command(
                        "usage",
                        List.of("KEY"),
                        "Count bytes and inodes of one snapshot,\nwithout its parents.",
                        KEYS,
                        (daemon, operands) -> usage(daemon, operands.getFirst())),
                command("health", List.of(), "Ask whether the daemon serves.", "", (daemon, _) -> health(daemon)));
    }

    private static Command command(
            String name, List<String> operands, String description, String details, Question question) {
        List<Flag> known = List.of(ConfigFlags.FILE, ADDRESS);
        return new Command(name, operands, known, description, details, (flags, given) -> {
            try (SocketClient daemon = new SocketClient(addressOf(flags))) {
                return question.ask(daemon, given);
            }
        });
    }

    /** The one that is given, or the configuration's, whose file is not read otherwise: a daemon can be asked while it is being edited. */
    static Path addressOf(Arguments flags) throws UsageException, ConfigException, IOException {
        Optional<Path> given = flags.pathOf(ADDRESS);
        return given.isPresent() ? given.get() : ConfigFlags.load(flags).socket();
    }

    private static int snapshots(SocketClient daemon) {
        Console.print(ROW.formatted("KIND", "POISON", "KEY"));
        daemon.list().forEachRemaining(batch -> batch.getInfoList().forEach(Volatilectl::printRow));
        return ExitCode.OK;
    }

    private static int info(SocketClient daemon, String key) {
        Info info = daemon.stat(key);
        StringBuilder text = new StringBuilder();
        line(text, "key", info.getName());
        line(text, "kind", word(info.getKind()));
        line(text, "parent", info.getParent());
        line(text, "created", time(info.getCreatedAt()));
        line(text, "updated", time(info.getUpdatedAt()));
        new TreeMap<>(info.getLabelsMap()).forEach((label, value) -> line(text, "label", label + "=" + value));
        Console.print(text.toString());
        return ExitCode.OK;
    }

    private static int usage(SocketClient daemon, String key) {
        UsageResponse usage = daemon.usage(key);
        Console.print("%d bytes, %d inodes%n".formatted(usage.getSize(), usage.getInodes()));
        return ExitCode.OK;
    }

    private static int health(SocketClient daemon) {
        ServingStatus status = daemon.health();
        Console.print(status.name().toLowerCase(Locale.ROOT).replace('_', ' ') + "\n");
        return status == ServingStatus.SERVING ? ExitCode.OK : ExitCode.FAILED;
    }

    private static int report(Exception failure) {
        Console.fail(failure);
        boolean unreachable = failure instanceof UnreachableException
                || (failure instanceof StatusRuntimeException refused
                        && refused.getStatus().getCode() == Status.Code.UNAVAILABLE);
        return unreachable ? ExitCode.UNREACHABLE : ExitCode.FAILED;
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

    private static String time(Timestamp timestamp) {
        return Instant.ofEpochSecond(timestamp.getSeconds(), timestamp.getNanos())
                .toString();
    }
}
