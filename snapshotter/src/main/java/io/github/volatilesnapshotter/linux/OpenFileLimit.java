package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** How many files this process may have open: the soft RLIMIT_NOFILE, which the JVM raises to the hard one when it starts. */
public final class OpenFileLimit {
    private static final Path OF_THIS_PROCESS = Path.of("/proc/self/limits");
    private static final Pattern SOFT = Pattern.compile("(?m)^Max open files +(\\d{1,18}|unlimited) ");

    private OpenFileLimit() {}

    /** Throws UncheckedIOException where there is no /proc. */
    public static int current() {
        try {
            return parse(Files.readString(OF_THIS_PROCESS));
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    /** Throws IllegalArgumentException if the limit is not in the text. */
    static int parse(String limits) {
        Matcher matcher = SOFT.matcher(limits);
        if (!matcher.find()) {
            throw new IllegalArgumentException("no limit of open files in " + limits);
        }
        String value = matcher.group(1);
        return value.equals("unlimited") ? Integer.MAX_VALUE : (int) Math.min(Integer.MAX_VALUE, Long.parseLong(value));
    }
}
