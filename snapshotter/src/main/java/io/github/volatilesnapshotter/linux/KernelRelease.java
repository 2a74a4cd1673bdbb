package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A kernel's release, ordered by its two numbers.
 *
 * @param text as {@code uname -r} prints it, for example {@code 6.1.0-18-amd64}
 */
public record KernelRelease(int major, int minor, String text) implements Comparable<KernelRelease> {
    private static final Path OF_THIS_KERNEL = Path.of("/proc/sys/kernel/osrelease");
    private static final Pattern FORM = Pattern.compile("(\\d{1,9})\\.(\\d{1,9}).*");
    private static final Comparator<KernelRelease> ORDER = Comparator.comparingInt(KernelRelease::major)
            .thenComparingInt(KernelRelease::minor)
            .thenComparing(KernelRelease::text);

    /** Of the running kernel. Throws UncheckedIOException where there is no /proc. */
    public static KernelRelease current() {
        try {
            return parse(Files.readString(OF_THIS_KERNEL).strip());
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    /** Throws IllegalArgumentException if the text does not begin with two numbers with a dot between. */
    public static KernelRelease parse(String text) {
        Matcher matcher = FORM.matcher(text);
        if (!matcher.matches()) {
            throw new IllegalArgumentException("not a kernel release: " + text);
        }
        return new KernelRelease(Integer.parseInt(matcher.group(1)), Integer.parseInt(matcher.group(2)), text);
    }

    public boolean atLeast(int wantedMajor, int wantedMinor) {
        return major > wantedMajor || (major == wantedMajor && minor >= wantedMinor);
    }

    @Override
    public int compareTo(KernelRelease other) {
        return ORDER.compare(this, other);
    }
}
