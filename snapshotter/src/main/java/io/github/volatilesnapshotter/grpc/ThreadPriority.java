package io.github.volatilesnapshotter.grpc;

/** How the threads that handle calls share the processors: decided by whoever starts the server. */
@FunctionalInterface
public interface ThreadPriority {
    /**
     * Called first by each thread, for itself; it has inherited the priority of the event loop.
     *
     * @param isOfReads whether it answers what reads only, waits for nothing and takes little
     */
    void take(boolean isOfReads);
}
