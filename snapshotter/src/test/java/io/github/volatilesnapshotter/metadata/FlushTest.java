package io.github.volatilesnapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Which system calls that flush a transaction makes, as strace sees them. */
@Tag("kernel")
final class FlushTest {
    private static final Pattern PHASE = Pattern.compile("(\\d+) .*\"/phase/([a-z-]+)\".*");
    private static final Pattern FLUSH =
            Pattern.compile("(\\d+) +((?:fsync|fdatasync|msync|sync|syncfs|sync_file_range)\\(.*)");

    @TempDir
    private Path directory;

    private record Flush(String thread, String call) {}

    private record Trace(String writer, Map<String, List<Flush>> phases) {
        List<String> callsOfWriter(String phase) {
            return phases.get(phase).stream()
                    .filter(flush -> flush.thread().equals(writer))
                    .map(Flush::call)
                    .toList();
        }

        List<Flush> callsOfOthers(String phase) {
            return phases.get(phase).stream()
                    .filter(flush -> !flush.thread().equals(writer))
                    .toList();
        }
    }

    private Trace trace;

    @BeforeEach
    void traceWriter() throws Exception {
        Path output = directory.resolve("trace");
        List<String> strace = List.of(
                "strace",
                "-f",
                "--seccomp-bpf",
                "-qq",
                "-y",
                "-e",
                "trace=fsync,fdatasync,msync,sync,syncfs,sync_file_range,%stat,access,faccessat,faccessat2",
                "-o",
                output.toString());
        Process writer = OrderedWriter.start(
                strace, "in-phases", directory.resolve("metadata.db").toString());
        try {
            assertThat(writer.waitFor(120, TimeUnit.SECONDS)).isTrue();
            assertThat(writer.exitValue()).isZero();
        } finally {
            writer.destroyForcibly();
        }
        trace = parse(Files.readAllLines(output));
    }

    private static Trace parse(List<String> lines) {
        Map<String, List<Flush>> phases = new LinkedHashMap<>();
        List<Flush> current = new ArrayList<>();
        String writer = "";
        for (String line : lines) {
            Matcher phase = PHASE.matcher(line);
            Matcher flush = FLUSH.matcher(line);
            if (phase.matches()) {
                writer = phase.group(1);
                current = phases.computeIfAbsent(phase.group(2), any -> new ArrayList<>());
            } else if (flush.matches()) {
                current.add(new Flush(flush.group(1), flush.group(2)));
            }
        }
        return new Trace(writer, phases);
    }

    @Test
    void only_durable_transactions_flush_and_they_flush_the_one_log() {
        assertThat(trace.phases()).containsKeys("few-ordered", "one-durable", "many-ordered", "end");
        assertThat(trace.phases().get("few-ordered")).isEmpty();
        assertThat(trace.callsOfWriter("one-durable"))
                .singleElement()
                .asString()
                .contains("metadata.db-wal>");
        assertThat(trace.callsOfWriter("durable-without-changes"))
                .singleElement()
                .asString()
                .contains("metadata.db-wal>");
        assertThat(trace.phases().get("durable-together"))
                .as("sixteen at once")
                .singleElement()
                .extracting(Flush::call)
                .asString()
                .contains("metadata.db-wal>");
        assertThat(trace.callsOfWriter("many-ordered")).isEmpty();
        assertThat(trace.callsOfOthers("many-ordered"))
                .as("the log is carried over by another thread")
                .isNotEmpty();
    }
}
