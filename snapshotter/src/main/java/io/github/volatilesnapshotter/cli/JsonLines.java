package io.github.volatilesnapshotter.cli;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.logging.Formatter;
import java.util.logging.Level;
import java.util.logging.LogRecord;
import org.jspecify.annotations.Nullable;

/**
 * One JSON object a line: {@code time}, {@code level}, {@code logger}, {@code message}, then the call's own fields. Fields are the
 * parameters of a message without placeholders, key before value: {@code log(INFO, "ready", "socket", path)}. An exception, as a
 * value or thrown, is written with its stack trace.
 */
final class JsonLines extends Formatter {
    private static final String FIRST_PLACEHOLDER = "{0";

    @Override
    public String format(LogRecord record) {
        StringBuilder line = new StringBuilder(256).append('{');
        field(line, "time", record.getInstant());
        field(line, "level", word(record.getLevel()));
        field(line, "logger", record.getLoggerName());
        String message = record.getMessage() == null ? "" : record.getMessage();
        @Nullable Object[] parameters = record.getParameters() == null ? new Object[0] : record.getParameters();
        if (message.contains(FIRST_PLACEHOLDER)) {
            field(line, "message", formatMessage(record));
        } else {
            field(line, "message", message);
            for (int i = 0; i + 1 < parameters.length; i += 2) {
                field(line, String.valueOf(parameters[i]), parameters[i + 1]);
            }
        }
        if (record.getThrown() != null) {
            field(line, "failure", record.getThrown());
        }
        return line.append("}\n").toString();
    }

    private static String word(Level level) {
        if (level.intValue() >= Level.SEVERE.intValue()) {
            return "error";
        } else if (level.intValue() >= Level.WARNING.intValue()) {
            return "warning";
        } else if (level.intValue() >= Level.CONFIG.intValue()) {
            return "info";
        }
        return level.intValue() >= Level.FINE.intValue() ? "debug" : "trace";
    }

    private static void field(StringBuilder line, String key, @Nullable Object value) {
        if (line.length() > 1) {
            line.append(',');
        }
        quote(line, key);
        line.append(':');
        switch (value) {
            case null -> line.append("null");
            case Integer number -> line.append(number);
            case Long number -> line.append(number);
            case Boolean flag -> line.append(flag);
            case Throwable failure -> {
                quote(line, failure.toString());
                field(line, "stack", stackOf(failure));
            }
            default -> quote(line, value.toString());
        }
    }

    private static void quote(StringBuilder line, String text) {
        line.append('"');
        for (int i = 0; i < text.length(); i++) {
            char character = text.charAt(i);
            switch (character) {
                case '"' -> line.append("\\\"");
                case '\\' -> line.append("\\\\");
                case '\n' -> line.append("\\n");
                case '\t' -> line.append("\\t");
                default -> {
                    if (character < ' ' || (Character.isSurrogate(character) && !isPaired(text, i))) {
                        line.append("\\u%04x".formatted((int) character));
                    } else {
                        line.append(character);
                    }
                }
            }
        }
        line.append('"');
    }

    /** A lone surrogate, which a key can hold, would not be UTF-8. */
    private static boolean isPaired(String text, int index) {
        return Character.isHighSurrogate(text.charAt(index))
                ? index + 1 < text.length() && Character.isLowSurrogate(text.charAt(index + 1))
                : index > 0 && Character.isHighSurrogate(text.charAt(index - 1));
    }

    private static String stackOf(Throwable failure) {
        StringWriter stack = new StringWriter();
        failure.printStackTrace(new PrintWriter(stack));
        return stack.toString();
    }
}
