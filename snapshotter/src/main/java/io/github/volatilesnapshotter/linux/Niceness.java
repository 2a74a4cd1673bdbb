package io.github.volatilesnapshotter.linux;

/** How much a thread leaves to others. On Linux each thread has a niceness of its own, whatever POSIX says. */
public final class Niceness {
    private static final int WHICH_PROCESS = 0;
    private static final int CALLING_THREAD = 0;
    private static final int MOST = 19;
    private static final int USUAL = 0;
    private static final int LITTLE = -10;
    private static final int LEAST = -20;

    private Niceness() {}

    /** From now on the calling thread gets processor time when others leave some, and a small share when they don't. */
    public static void yieldToOthers() throws SyscallException {
        set(CALLING_THREAD, MOST);
    }

    /** The number of the calling thread, by which another one can set its priority; another thread has it once this one has ended. */
    static int thisThread() {
        try (CallFrame frame = new CallFrame()) {
            return LibC.gettid(frame.callState());
        }
    }

    /**
     * From now on the thread, and threads that it begins, get ten times what another one gets that is as busy, among those of the same
     * control group or session (sched(7), autogroup): in a service of its own these are this process's other ones.
     *
     * @return false if it stays as it is, without CAP_SYS_NICE
     */
    static boolean letGoAhead(int thread) {
        return isSet(thread, LITTLE);
    }

    /** The opposite of {@link #letGoAhead}. */
    static boolean letTakeShare(int thread) {
        return isSet(thread, USUAL);
    }

    private static boolean isSet(int thread, int niceness) {
        try {
            set(thread, niceness);
            return true;
        } catch (SyscallException e) {
            System.getLogger(Niceness.class.getName())
                    .log(System.Logger.Level.DEBUG, "a thread keeps the priority that it has", e);
            return false;
        }
    }

    /**
     * From now on the calling thread gets its share.
     *
     * @return false if it stays as it is
     */
    public static boolean takeShare() {
        return letTakeShare(CALLING_THREAD);
    }

    /**
     * From now on the calling thread, and threads that it begins, run before others of the same control group or session (sched(7),
     * autogroup), such as this process's other ones. Only for what takes little time.
     *
     * @throws SyscallException EACCES without CAP_SYS_NICE
     */
    public static void goFirst() throws SyscallException {
        set(CALLING_THREAD, LEAST);
    }

    private static void set(int thread, int niceness) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            frame.check(
                    LibC.setpriority(frame.callState(), WHICH_PROCESS, thread, niceness),
                    "setpriority",
                    "PRIO_PROCESS",
                    thread,
                    niceness);
        }
    }
}
