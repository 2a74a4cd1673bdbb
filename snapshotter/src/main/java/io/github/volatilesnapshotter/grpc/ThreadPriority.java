package io.github.volatilesnapshotter.grpc;

/** How the threads that handle calls share the processors: decided by whoever starts the server. */
@FunctionalInterface
public interface ThreadPriority {
    /**
     * Runs all that the calling thread ever does. It has inherited the priority that the event loop had at that moment.
     *
     * @param isOfReads whether it answers what reads only, waits for nothing and takes little
     */
    void run(boolean isOfReads, Runnable work);
}
