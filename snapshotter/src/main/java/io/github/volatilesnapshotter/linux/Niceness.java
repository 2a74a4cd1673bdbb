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
        set(MOST);
    }

    /**
     * From now on the calling thread, and threads that it begins, get ten times what another one gets that is as busy, among those of the same
     * control group or session (sched(7), autogroup): in a service of its own these are this process's other ones.
     *
     * @return false if it stays as it is, without CAP_SYS_NICE
     */
    public static boolean goAhead() {
        return isSet(LITTLE);
    }

    private static boolean isSet(int niceness) {
        try {
            set(niceness);
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
        return isSet(USUAL);
    }

    /**
     * From now on the calling thread, and threads that it begins, run before others of the same control group or session (sched(7),
     * autogroup), such as this process's other ones. Only for what takes little time.
     *
     * @throws SyscallException EACCES without CAP_SYS_NICE
     */
    public static void goFirst() throws SyscallException {
        set(LEAST);
    }

    private static void set(int niceness) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            frame.check(
                    LibC.setpriority(frame.callState(), WHICH_PROCESS, CALLING_THREAD, niceness),
                    "setpriority",
                    "PRIO_PROCESS",
                    CALLING_THREAD,
                    niceness);
        }
    }
}
