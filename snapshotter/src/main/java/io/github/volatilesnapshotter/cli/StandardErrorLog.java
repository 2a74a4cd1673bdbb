package io.github.volatilesnapshotter.cli;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.lang.System.Logger.Level;
import java.util.logging.Handler;
import java.util.logging.LogManager;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/**
 * Sends every logger of the process, the libraries' included, to standard error as {@link JsonLines}. Nobody who logs waits for whoever
 * reads them ({@link LineQueue}).
 */
final class StandardErrorLog {
    /** Some thousand lines: what one error on a thousand snapshots has to say. */
    private static final long MOST_WAITING_BYTES = 2L << 20;

    private static final long FLUSH_MILLIS = 1_000;

    private static final LineQueue LINES =
            new LineQueue(new FileOutputStream(FileDescriptor.err), MOST_WAITING_BYTES, StandardErrorLog::droppedLine);

    // Held here, because java.util.logging holds loggers weakly and would forget their levels.
    private static final Logger ROOT_LOGGER;
    private static final Logger NETTY;
    private static final Logger GRPC;
    private static final Logger GRPC_STREAMS;

    static {
        // Before the first logger exists.
        System.setProperty("java.util.logging.manager", LastingLogManager.class.getName());
        ROOT_LOGGER = Logger.getLogger("");
        NETTY = Logger.getLogger("io.netty");
        GRPC = Logger.getLogger("io.grpc");
        GRPC_STREAMS = Logger.getLogger("io.grpc.netty.NettyServerHandler");
    }

    private StandardErrorLog() {}

    /** To be called first, before anything else makes a logger. Below {@code level} nothing is written. */
    static void install(Level level) {
        java.util.logging.Level least = switch (level) {
            case ALL, TRACE -> java.util.logging.Level.FINER;
            case DEBUG -> java.util.logging.Level.FINE;
            case INFO -> java.util.logging.Level.INFO;
            case WARNING -> java.util.logging.Level.WARNING;
            case ERROR -> java.util.logging.Level.SEVERE;
            case OFF -> java.util.logging.Level.OFF;
        };
        for (Handler handler : ROOT_LOGGER.getHandlers()) {
            ROOT_LOGGER.removeHandler(handler);
        }
        ROOT_LOGGER.setLevel(least);
        // Their debug lines are one for each frame, and theirs at INFO tell nothing that ours do not.
        java.util.logging.Level ofLibraries =
                least.intValue() < java.util.logging.Level.FINE.intValue() ? least : java.util.logging.Level.WARNING;
        NETTY.setLevel(ofLibraries);
        GRPC.setLevel(ofLibraries);
        // A warning with a stack trace for every frame that comes after a refusal, for example of a request that is too
        // large.
        GRPC_STREAMS.setLevel(java.util.logging.Level.SEVERE);
        ROOT_LOGGER.addHandler(new LineHandler());
        LINES.start("log");
    }

    /** Waits until everything is written that was logged so far, at most {@value #FLUSH_MILLIS} ms. To be called before the process ends. */
    static void flush() {
        boolean _ = LINES.flush(FLUSH_MILLIS);
    }

    /** Lines that are not written yet. */
    static int waiting() {
        return LINES.waiting();
    }

    /** Lines that were dropped because standard error was not read. */
    static long dropped() {
        return LINES.dropped();
    }

    private static String droppedLine(long lines) {
        LogRecord record = new LogRecord(
                java.util.logging.Level.WARNING,
                "log lines were dropped: they came faster than standard error took them");
        record.setLoggerName(StandardErrorLog.class.getName());
        record.setParameters(new Object[] {"lines", lines});
        return new JsonLines().format(record);
    }

    /**
     * Keeps its handlers while the process stops: the usual one closes them in a shutdown hook of its own, and the lines about the
     * stop would be lost. Reads no configuration file.
     */
    public static final class LastingLogManager extends LogManager {
        @Override
        public void reset() {}

        @Override
        public void readConfiguration() {}
    }

    private static final class LineHandler extends Handler {
        LineHandler() {
            setFormatter(new JsonLines());
        }

        @Override
        public void publish(LogRecord record) {
            if (isLoggable(record)) {
                LINES.add(getFormatter().format(record));
            }
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    }
}
