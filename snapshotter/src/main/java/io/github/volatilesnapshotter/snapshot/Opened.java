package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.MetadataException;
import java.util.ArrayDeque;
import java.util.Deque;

/** What was opened, to be closed last first. One that fails to close keeps no other one open. One thread at a time. */
final class Opened {
    private final Deque<Closing> closings = new ArrayDeque<>();

    /** How one thing is closed. */
    @FunctionalInterface
    interface Closing {
        void close() throws MetadataException;
    }

    void add(Closing closing) {
        closings.push(closing);
    }

    /** Closes everything; doing it again does nothing. Throws the first failure, with the others suppressed in it. */
    void close() throws MetadataException {
        if (closings.isEmpty()) {
            return;
        }
        Closing last = closings.pop();
        try {
            last.close();
        } catch (MetadataException | RuntimeException e) {
            closeAfter(e);
            throw e;
        }
        close();
    }

    /** Closes everything because of a failure, to which those of closing are added. */
    void closeAfter(Exception failure) {
        try {
            close();
        } catch (MetadataException | RuntimeException e) {
            failure.addSuppressed(e);
        }
    }
}
