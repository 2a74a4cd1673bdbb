package io.github.volatilesnapshotter;

import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/** What a class, or all of a package, logs from now on. */
public final class LoggedLines implements AutoCloseable {
    private final List<Line> lines = new CopyOnWriteArrayList<>();
    private final Logger logger;

    private final Handler handler = new Handler() {
        @Override
        public void publish(LogRecord line) {
            Object[] fields = line.getParameters();
            lines.add(new Line(line.getMessage(), fields == null ? List.of() : Arrays.asList(fields)));
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    };

    private LoggedLines(Logger logger) {
        this.logger = logger;
        logger.addHandler(handler);
    }

    /** Begins to listen to the logger of this name: a class, or a package with all that is in it. */
    public static LoggedLines of(String name) {
        return new LoggedLines(Logger.getLogger(name));
    }

    /**
     * One line.
     *
     * @param fields names and values in turn
     */
    public record Line(String message, List<Object> fields) {
        /** As text; "none" if the line has no such field. */
        public String field(String name) {
            int at = fields.indexOf(name);
            return at < 0 ? "none" : String.valueOf(fields.get(at + 1));
        }
    }

    public List<Line> all() {
        return List.copyOf(lines);
    }

    /** Those whose message begins so. */
    public List<Line> beginning(String message) {
        return lines.stream().filter(line -> line.message().startsWith(message)).toList();
    }

    @Override
    public void close() {
        logger.removeHandler(handler);
    }
}
