package io.github.volatilesnapshotter.history;

/**
 * What one thread asked, what it was answered, and when.
 *
 * @param begunNanos as {@link System#nanoTime}, before the call
 * @param endedNanos after the answer
 */
public record Operation<C, A>(int thread, C call, A answer, long begunNanos, long endedNanos) {
    boolean isBefore(Operation<C, A> other) {
        return endedNanos < other.begunNanos;
    }
}
