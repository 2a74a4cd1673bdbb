package io.github.volatilesnapshotter.cli;

import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.System.Logger.Level;
import java.nio.charset.StandardCharsets;
import java.util.logging.ErrorManager;
import java.util.logging.Handler;
import java.util.logging.LogManager;
import java.util.logging.LogRecord;
import java.util.logging.Logger;

/**
 * Sends every logger of the process, the libraries' included, to standard error as {@link JsonLines}. Each line is one write, so that
 * lines of several threads never mix.
 */
final class StandardErrorLog {
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
        ROOT_LOGGER.addHandler(new LineHandler(new FileOutputStream(FileDescriptor.err)));
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
        private final OutputStream out;

        LineHandler(OutputStream out) {
            this.out = out;
            setFormatter(new JsonLines());
        }

        @Override
        public void publish(LogRecord record) {
            if (!isLoggable(record)) {
                return;
            }
            try {
                out.write(getFormatter().format(record).getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                reportError("standard error cannot be written", e, ErrorManager.WRITE_FAILURE);
            }
        }

        @Override
        public void flush() {}

        @Override
        public void close() {}
    }
}
