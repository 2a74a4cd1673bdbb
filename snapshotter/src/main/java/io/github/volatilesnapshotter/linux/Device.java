package io.github.volatilesnapshotter.linux;

import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A device number as mountinfo writes it, for example {@code 8:1}. */
public record Device(int major, int minor) {
    private static final Pattern FORM = Pattern.compile("(\\d{1,9}):(\\d{1,9})");

    /** Throws IllegalArgumentException if the text is not two decimal numbers with a colon between. */
    public static Device parse(String text) {
        Matcher matcher = FORM.matcher(text);
        if (!matcher.matches()) {
            throw new IllegalArgumentException("not a device number: " + text);
        }
        return new Device(Integer.parseInt(matcher.group(1)), Integer.parseInt(matcher.group(2)));
    }

    @Override
    public String toString() {
        return major + ":" + minor;
    }
}
