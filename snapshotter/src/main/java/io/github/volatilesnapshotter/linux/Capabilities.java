package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** What this process may do, see capabilities(7). Each question reads /proc anew. */
public final class Capabilities {
    private static final Path OF_THIS_PROCESS = Path.of("/proc/self/status");
    private static final String EFFECTIVE = "CapEff:";
    private static final int DAC_READ_SEARCH = 2;
    private static final int SYS_ADMIN = 21;

    private Capabilities() {}

    /** Needed for mounting and for trusted extended attributes. */
    public static boolean hasSysAdmin() {
        return has(SYS_ADMIN);
    }

    /** Needed for open_by_handle_at. */
    public static boolean hasDacReadSearch() {
        return has(DAC_READ_SEARCH);
    }

    private static boolean has(int capability) {
        try {
            // The process's name is in it, in any bytes.
            String status = Files.readString(OF_THIS_PROCESS, StandardCharsets.ISO_8859_1);
            return (effective(status) >>> capability & 1) == 1;
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    /** The effective set as a bit mask. */
    static long effective(String status) {
        return status.lines()
                .filter(line -> line.startsWith(EFFECTIVE))
                .findFirst()
                .map(line -> Long.parseUnsignedLong(
                        line.substring(EFFECTIVE.length()).strip(), 16))
                .orElseThrow(() -> new IllegalArgumentException("no " + EFFECTIVE + " in /proc/self/status"));
    }
}
