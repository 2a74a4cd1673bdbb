package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.cli.SocketClient.UnreachableException;
import io.github.volatilesnapshotter.config.ConfigException;
import io.github.volatilesnapshotter.metadata.Backup;
import io.github.volatilesnapshotter.proto.v1.BackupResponse;
import io.github.volatilesnapshotter.snapshot.RecoveryReports;
import io.github.volatilesnapshotter.snapshot.StartException;
import io.github.volatilesnapshotter.snapshot.StoppedRoot;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Optional;
import org.tomlj.Toml;
import org.tomlj.TomlArray;
import org.tomlj.TomlParseResult;
import org.tomlj.TomlTable;

/** What can be done with the records and the reports below a root, whether its daemon runs or not. */
final class RecordsCommands {
    static final Flag ROOT = new Flag("--root", "DIR", "The daemon's root.\nDefault: the configuration's.");
    private static final Flag STATE = new Flag(
            "--state", "DIR", "The runtime directory of the daemon, if none runs.\nDefault: the configuration's.");
    private static final Flag REPLACE = new Flag("--replace", null, "Replace FILE if it is there.");
    private static final String BACKUP_DETAILS = """
            From a running daemon the copy is made without a pause. The records stay as they
            are, with their log (metadata.db-wal), also those of a stopped one's root.""";
    private static final String FINDING = "%-17s %-6s %s%n";

    private RecordsCommands() {}

    static List<Command> all() {
        return List.of(
                new Command(
                        "backup",
                        List.of("FILE"),
                        List.of(ConfigFlags.FILE, Volatilectl.ADDRESS, ROOT, STATE, REPLACE),
                        "Copy all records into FILE: from the daemon, or, if\nnone runs, from its root.",
                        BACKUP_DETAILS,
                        (flags, operands) -> backup(
                                Volatilectl.addressOf(flags),
                                rootOf(flags),
                                stateOf(flags),
                                new BackupFile(pathOf(operands), flags.has(REPLACE)))),
                new Command(
                        "restore",
                        List.of("FILE"),
                        List.of(ConfigFlags.FILE, ROOT),
                        "Put the records of a backup in the place of those of\na root whose daemon is stopped.",
                        (flags, operands) -> restore(rootOf(flags), pathOf(operands))),
                new Command(
                        "recovery",
                        List.of(),
                        List.of(ConfigFlags.FILE, ROOT),
                        "Show what the last start that was not refused has\nfound and done.",
                        reportDetails(),
                        (flags, _) -> recovery(rootOf(flags))));
    }

    private static String reportDetails() {
        StringBuilder details = new StringBuilder("The words of the report:\n");
        RecoveryReports.words().forEach((word, meaning) -> details.append("  %-17s %s%n".formatted(word, meaning)));
        return details.toString().stripTrailing();
    }

    private static Path rootOf(Arguments flags) throws UsageException, ConfigException, IOException {
        Optional<Path> given = flags.pathOf(ROOT);
        return given.isPresent() ? given.get() : ConfigFlags.load(flags).root();
    }

    private static Path stateOf(Arguments flags) throws UsageException, ConfigException, IOException {
        Optional<Path> given = flags.pathOf(STATE);
        return given.isPresent() ? given.get() : ConfigFlags.load(flags).state();
    }

    private static Path pathOf(List<String> operands) throws UsageException {
        if (operands.getFirst().isEmpty()) {
            throw new UsageException("FILE is empty");
        }
        return Path.of(operands.getFirst()).toAbsolutePath().normalize();
    }

    private static int backup(Path address, Path root, Path state, BackupFile file) throws Exception {
        Backup backup;
        try (SocketClient daemon = new SocketClient(address)) {
            backup = file.write(unfinished -> write(daemon.backup(), unfinished));
        } catch (UnreachableException e) {
            backup = backupOfStopped(root, state, file, e);
        }
        Console.print(backup.records().size() + " records\n");
        return ExitCode.OK;
    }

    private static Backup backupOfStopped(Path root, Path state, BackupFile file, UnreachableException unreachable)
            throws Exception {
        try (StoppedRoot stopped = StoppedRoot.open(root)) {
            return file.write(copy -> stopped.copyRecords(copy, state));
        } catch (StartException e) {
            throw new IOException(unreachable.getMessage() + ", and " + e.getMessage(), e);
        }
    }

    private static void write(Iterator<BackupResponse> pieces, Path file) throws IOException {
        try (OutputStream content = Files.newOutputStream(file)) {
            while (pieces.hasNext()) {
                pieces.next().getData().writeTo(content);
            }
        }
    }

    private static int restore(Path root, Path file) throws Exception {
        try (StoppedRoot stopped = StoppedRoot.open(root)) {
            StoppedRoot.Restored restored = stopped.restore(file);
            Console.print("%d records restored%n".formatted(restored.records()));
            restored.replaced().ifPresent(path -> Console.print("what was there before is kept: %s%n".formatted(path)));
            Console.print("the next start will find %d layers whose directory is gone, and throw away %d directories%n"
                    .formatted(restored.lostLayers(), restored.orphans()));
            return ExitCode.OK;
        }
    }

    private static int recovery(Path root) throws IOException {
        Optional<Path> newest = RecoveryReports.newest(root);
        if (newest.isEmpty()) {
            throw new IOException("no start has left a report below " + root + " yet; give the daemon's --root");
        }
        TomlParseResult report = Toml.parse(newest.get());
        if (report.hasErrors()) {
            throw new IOException(
                    newest.get() + " can't be read: " + report.errors().getFirst());
        }
        Console.print(text(newest.get(), report));
        return ExitCode.OK;
    }

    private static String text(Path file, TomlTable report) {
        StringBuilder text = new StringBuilder();
        text.append("report     ").append(file).append('\n');
        for (String key : List.of("started", "device", "watched", "snapshots", "took_millis", "findings")) {
            text.append("%-10s %s%n".formatted(key.replace("took_millis", "took ms"), report.get(key)));
        }
        TomlTable counts = report.getTableOrEmpty("counts");
        counts.keySet().stream()
                .filter(outcome -> !Long.valueOf(0).equals(counts.get(List.of(outcome))))
                .forEach(outcome -> text.append("%-14s %s%n".formatted(outcome, counts.get(List.of(outcome)))));
        TomlArray findings = report.getArrayOrEmpty("finding");
        if (!findings.isEmpty()) {
            text.append('\n').append(FINDING.formatted("OUTCOME", "ID", "KEY AND DETAIL"));
        }
        for (int index = 0; index < findings.size(); index++) {
            TomlTable finding = findings.getTable(index);
            String key = finding.getString("key", () -> "");
            text.append(FINDING.formatted(
                    finding.getString("outcome"),
                    finding.get("id"),
                    (key.isEmpty() ? "" : key + ": ") + finding.getString("detail")));
        }
        return text.toString();
    }
}
