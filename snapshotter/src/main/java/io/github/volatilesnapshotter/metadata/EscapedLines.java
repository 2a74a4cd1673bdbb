package io.github.volatilesnapshotter.metadata;

import java.util.ArrayList;
import java.util.List;

/**
 * A list of texts as one text that a person can read with {@code sqlite3}: each on a line of its own, ended by a newline, with
 * {@code \n} for a newline and {@code \\} for a backslash within.
 */
final class EscapedLines {
    private EscapedLines() {}

    static String join(List<String> texts) {
        StringBuilder lines = new StringBuilder();
        for (String text : texts) {
            append(lines, text);
        }
        return lines.toString();
    }

    static void append(StringBuilder lines, String text) {
        if (text.indexOf('\\') < 0 && text.indexOf('\n') < 0) {
            lines.append(text).append('\n');
        } else {
            lines.append(text.replace("\\", "\\\\").replace("\n", "\\n")).append('\n');
        }
    }

    /**
     * Takes apart what {@link #join} made.
     *
     * @throws IllegalArgumentException if it was not made by {@link #join}
     */
    static List<String> split(String lines) {
        List<String> texts = new ArrayList<>();
        int start = 0;
        while (start < lines.length()) {
            int end = lines.indexOf('\n', start);
            if (end < 0) {
                throw new IllegalArgumentException("the last line has no end: " + lines.substring(start));
            }
            texts.add(unescape(lines.substring(start, end)));
            start = end + 1;
        }
        return texts;
    }

    private static String unescape(String line) {
        int backslash = line.indexOf('\\');
        if (backslash < 0) {
            return line;
        }
        StringBuilder text = new StringBuilder(line.length());
        int start = 0;
        while (backslash >= 0) {
            text.append(line, start, backslash);
            char escaped = backslash + 1 < line.length() ? line.charAt(backslash + 1) : ' ';
            switch (escaped) {
                case 'n' -> text.append('\n');
                case '\\' -> text.append('\\');
                default -> throw new IllegalArgumentException("a backslash that escapes nothing: " + line);
            }
            start = backslash + 2;
            backslash = line.indexOf('\\', start);
        }
        return text.append(line, start, line.length()).toString();
    }
}
