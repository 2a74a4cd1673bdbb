package io.github.volatilesnapshotter.metrics;

import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The daemon's own size, read from {@code /proc/self} when asked (proc_pid_status(5)). A figure that cannot be read is NaN, which
 * Prometheus shows as a gap.
 */
final class ProcessFigures {
    private static final Pattern RESIDENT_KIBIBYTES = Pattern.compile("^VmRSS:\\s+(\\d+) kB$", Pattern.MULTILINE);
    private static final Pattern THREADS = Pattern.compile("^Threads:\\s+(\\d+)$", Pattern.MULTILINE);

    private final Path proc;
    private final long startedAtNanos = System.nanoTime();

    ProcessFigures(Path proc) {
        this.proc = proc;
    }

    static ProcessFigures ofThisProcess() {
        return new ProcessFigures(Path.of("/proc/self"));
    }

    Number residentBytes() {
        return statusField(RESIDENT_KIBIBYTES) * 1024;
    }

    Number threads() {
        return statusField(THREADS);
    }

    Number openFiles() {
        int count = 0;
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(proc.resolve("fd"))) {
            for (Path _ : entries) {
                count++;
            }
        } catch (IOException e) {
            return Double.NaN;
        }
        return count;
    }

    Number heapUsedBytes() {
        return Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
    }

    Number uptimeSeconds() {
        return (System.nanoTime() - startedAtNanos) / 1e9;
    }

    private double statusField(Pattern pattern) {
        try {
            Matcher matcher = pattern.matcher(Files.readString(proc.resolve("status")));
            return matcher.find() ? Double.parseDouble(matcher.group(1)) : Double.NaN;
        } catch (IOException e) {
            return Double.NaN;
        }
    }
}
