package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.snapshot.RecoveryReport.Outcome;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** The reports of the last {@value #MOST_KEPT} starts, a file in TOML for each, below the root; for people and programs that come later. */
public final class RecoveryReports {
    static final int MOST_KEPT = 16;

    private static final String SUFFIX = ".toml";
    private static final String UNFINISHED = ".unfinished";

    private final Path directory;

    RecoveryReports(Path directory) {
        this.directory = directory;
    }

    /**
     * The report of the last start that could write one.
     *
     * @param root of the daemon
     */
    public static Optional<Path> newest(Path root) throws IOException {
        RecoveryReports reports = new RecoveryReports(new Layout(root).recovery());
        return Files.isDirectory(reports.directory)
                ? reports.oldestFirst().reduce((_, later) -> later)
                : Optional.empty();
    }

    /** The words of a report, in their order, and what each means; for people. */
    public static Map<String, String> words() {
        Map<String, String> words = new LinkedHashMap<>();
        words.put("watched", Start.WATCHED);
        for (Outcome outcome : Outcome.values()) {
            words.put(outcome.word(), outcome.meaning());
        }
        return words;
    }

    /**
     * What the start was, beside what it found.
     *
     * @param watched {@value #WATCHED}
     */
    record Start(Instant at, String bootId, String device, boolean watched, int snapshots, long tookMillis) {
        private static final String WATCHED =
                "whether a sentinel stood since the daemon before, and has seen no error; if not, what has no"
                        + " memory of its own can't be trusted";
    }

    /** Whole and on disk when this returns, or as it was before; the oldest reports go. */
    void write(Start start, RecoveryReport report) throws IOException {
        Files.createDirectories(
                directory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        // A name that sorts as the times do, and can be a file's everywhere.
        String name = start.at().truncatedTo(ChronoUnit.MILLIS).toString().replace(':', '-');
        Path file = directory.resolve(name + SUFFIX);
        String text = text(start, report);
        if (Files.exists(file) && Files.readString(file).equals(text)) {
            return;
        }
        Path unfinished = directory.resolve(name + UNFINISHED);
        try (FileChannel channel =
                FileChannel.open(unfinished, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            ByteBuffer content = StandardCharsets.UTF_8.encode(text);
            while (content.hasRemaining()) {
                channel.write(content);
            }
            channel.force(true);
        }
        Files.move(unfinished, file, StandardCopyOption.ATOMIC_MOVE);
        removeOld(unfinished);
    }

    private void removeOld(Path own) throws IOException {
        List<Path> kept = oldestFirst().toList();
        for (Path old : kept.subList(0, Math.max(0, kept.size() - MOST_KEPT))) {
            Files.deleteIfExists(old);
        }
        try (Stream<Path> left = Files.list(directory)) {
            for (Path path :
                    left.filter(path -> path.toString().endsWith(UNFINISHED)).toList()) {
                if (!path.equals(own)) {
                    Files.deleteIfExists(path);
                }
            }
        }
    }

    private Stream<Path> oldestFirst() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files
                    .filter(path -> path.toString().endsWith(SUFFIX))
                    .sorted(Comparator.comparing(Path::toString))
                    .toList()
                    .stream();
        }
    }

    private static String text(Start start, RecoveryReport report) {
        StringBuilder text = new StringBuilder();
        text.append("started = ")
                .append(start.at().truncatedTo(ChronoUnit.MILLIS))
                .append('\n');
        text.append("boot_id = ").append(quoted(start.bootId())).append('\n');
        text.append("device = ").append(quoted(start.device())).append('\n');
        text.append("watched = ").append(start.watched()).append('\n');
        text.append("snapshots = ").append(start.snapshots()).append('\n');
        text.append("took_millis = ").append(start.tookMillis()).append('\n');
        text.append("findings = ").append(report.found()).append('\n');
        text.append("\n[counts]\n");
        for (Outcome outcome : Outcome.values()) {
            text.append(outcome.word())
                    .append(" = ")
                    .append(report.countOf(outcome))
                    .append('\n');
        }
        for (RecoveryReport.Line line : report.lines()) {
            text.append("\n[[finding]]\n");
            text.append("outcome = ").append(quoted(line.outcome().word())).append('\n');
            text.append("id = ").append(line.id()).append('\n');
            text.append("key = ").append(quoted(line.key())).append('\n');
            text.append("detail = ").append(quoted(line.detail())).append('\n');
        }
        return text.toString();
    }

    /** A basic string of TOML. */
    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        text.codePoints().forEach(c -> {
            if (c == '"' || c == '\\') {
                quoted.append('\\').appendCodePoint(c);
            } else if (Character.isISOControl(c)) {
                quoted.append(String.format("\\u%04x", c));
            } else if (c >= Character.MIN_SURROGATE && c <= Character.MAX_SURROGATE) {
                quoted.append('\ufffd');
            } else {
                quoted.appendCodePoint(c);
            }
        });
        return quoted.append('"').toString();
    }
}
