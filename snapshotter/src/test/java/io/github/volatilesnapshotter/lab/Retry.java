package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.time.Duration;

/** Steps that fail for a moment while somebody else lets go of a device or a file. */
final class Retry {
    private static final Duration BOUND = Duration.ofSeconds(20);
    private static final Duration INTERVAL = Duration.ofMillis(10);

    private Retry() {}

    /** Something that may fail at first. */
    interface Attempt<T> {
        T make() throws IOException;
    }

    /**
     * Tries until it succeeds.
     *
     * @throws IOException of the last attempt, after 20 s
     */
    static <T> T untilItWorks(Attempt<T> attempt) throws IOException {
        return untilItWorks(attempt, BOUND);
    }

    /** As {@link #untilItWorks(Attempt)}, for as long as it may take. */
    static <T> T untilItWorks(Attempt<T> attempt, Duration bound) throws IOException {
        long deadline = System.nanoTime() + bound.toNanos();
        while (true) {
            try {
                return attempt.make();
            } catch (IOException e) {
                if (System.nanoTime() > deadline) {
                    throw e;
                }
            }
            try {
                Thread.sleep(INTERVAL);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted", e);
            }
        }
    }
}
