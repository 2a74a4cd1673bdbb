package io.github.volatilesnapshotter.linux;

import java.util.HashSet;
import java.util.Set;

/**
 * Threads that get more of the processors than this process's others, while that is asked for, and their usual share else: one that always
 * goes ahead is woken for each little thing, where it would else find several to do. Thread-safe; nothing here waits for anything.
 */
public final class UrgentThreads {
    private final Set<Integer> threads = new HashSet<>();
    private boolean isUrgent;

    /** From now on the calling thread is one of them; it must {@link #leave} before it ends, as its number is given to others then. */
    public synchronized void enter() {
        int thread = Niceness.thisThread();
        threads.add(thread);
        setPriority(thread);
    }

    /** The calling thread is none of them any more. */
    public synchronized void leave() {
        threads.remove(Niceness.thisThread());
        boolean _ = Niceness.takeShare();
    }

    /** Runs the work on the calling thread, which is one of them meanwhile. */
    public void runAsOne(Runnable work) {
        try {
            enter();
            work.run();
        } finally {
            leave();
        }
    }

    /**
     * Lets them go ahead of others, or take their share again. Takes about a microsecond for each of them.
     *
     * <p>Without CAP_SYS_NICE nothing changes.
     */
    public synchronized void setUrgent(boolean urgent) {
        if (urgent != isUrgent) {
            isUrgent = urgent;
            threads.forEach(this::setPriority);
        }
    }

    private void setPriority(int thread) {
        boolean _ = isUrgent ? Niceness.letGoAhead(thread) : Niceness.letTakeShare(thread);
    }
}
