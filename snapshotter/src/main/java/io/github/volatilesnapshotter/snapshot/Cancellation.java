package io.github.volatilesnapshotter.snapshot;

/** Asked by work that may take long, between two steps; true once nobody waits for the answer any more. */
@FunctionalInterface
public interface Cancellation {
    Cancellation NEVER = () -> false;

    boolean isCancelled();
}
