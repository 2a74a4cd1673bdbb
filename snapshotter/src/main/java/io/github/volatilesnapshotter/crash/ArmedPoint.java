package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.linux.Sigkill;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** Where a test wants the process to die: {@code <word> <passage>} in a file, read at every passage. */
final class ArmedPoint {
    static final @Nullable Path FILE = file();

    /** Of the point in the file, which is the only one in the life of a process. */
    private static final AtomicInteger PASSAGES = new AtomicInteger();

    private ArmedPoint() {}

    private static @Nullable Path file() {
        String named = System.getProperty(CrashPoint.PROPERTY);
        return named == null ? null : Path.of(named);
    }

    /** A file that is not there, or not whole yet, means no point. */
    static void pass(CrashPoint point) {
        if (FILE == null || !Files.exists(FILE)) {
            return;
        }
        try {
            String[] wanted = Files.readString(FILE).strip().split(" ", -1);
            if (wanted.length == 2
                    && wanted[0].equals(point.word())
                    && PASSAGES.incrementAndGet() >= Integer.parseInt(wanted[1])) {
                Sigkill.self();
            }
        } catch (IOException _) {
            // It is being taken away.
        }
    }
}
