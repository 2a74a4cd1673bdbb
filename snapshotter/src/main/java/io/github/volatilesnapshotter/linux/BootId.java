package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The kernel's name for the time since it was started. */
public final class BootId {
    private static final Path OF_THIS_BOOT = Path.of("/proc/sys/kernel/random/boot_id");

    private BootId() {}

    /** A UUID as text, another after every boot. Throws UncheckedIOException where there is no /proc. */
    public static String current() {
        try {
            return Files.readString(OF_THIS_BOOT).strip();
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }
}
