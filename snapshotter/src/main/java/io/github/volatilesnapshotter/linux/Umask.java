package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The mode bits that the kernel takes away from what this process makes. Read once: nothing here changes it. */
final class Umask {
    private static final String FIELD = "Umask:";
    private static final int ALL_PERMISSIONS = 0777;

    static final int OF_THIS_PROCESS = read(Path.of("/proc/self/status"));

    private Umask() {}

    /** The umask in a file like {@code /proc/self/status}; all bits if it is not there (before Linux 4.7). */
    static int read(Path status) {
        try {
            return Files.readAllLines(status).stream()
                    .filter(line -> line.startsWith(FIELD))
                    .map(line -> Integer.parseInt(line.substring(FIELD.length()).strip(), 8))
                    .findFirst()
                    .orElse(ALL_PERMISSIONS);
        } catch (IOException e) {
            return ALL_PERMISSIONS;
        }
    }
}
