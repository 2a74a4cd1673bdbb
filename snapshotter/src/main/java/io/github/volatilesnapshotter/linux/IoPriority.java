package io.github.volatilesnapshotter.linux;

/**
 * In which order the calling thread's reads and writes reach a disk (<a
 * href="https://man7.org/linux/man-pages/man2/ioprio_set.2.html">ioprio_set(2)</a>). Only the scheduler bfq looks at all of it; mq-deadline
 * at the class. glibc has no wrapper.
 */
public final class IoPriority {
    private static final int WHO_PROCESS = 1;
    private static final int CALLING_THREAD = 0;
    private static final int CLASS_SHIFT = 13;
    private static final int AS_NICENESS_SAYS = 0;
    private static final int CLASS_IDLE = 3 << CLASS_SHIFT;

    /** These architectures number their calls differently; on another one nothing is done. */
    private static final long NUMBER = switch (System.getProperty("os.arch")) {
        case "amd64" -> 251;
        case "aarch64" -> 30;
        default -> -1;
    };

    private IoPriority() {}

    /** From now on the calling thread gets the disk when nobody else wants it. */
    public static void yieldToOthers() throws SyscallException {
        set(CLASS_IDLE);
    }

    /** From now on the calling thread gets its share of the disk. */
    public static void takeShare() throws SyscallException {
        set(AS_NICENESS_SAYS);
    }

    private static void set(int priority) throws SyscallException {
        if (NUMBER < 0) {
            return;
        }
        try (CallFrame frame = new CallFrame()) {
            frame.check(
                    LibC.syscall(frame.callState(), NUMBER, WHO_PROCESS, CALLING_THREAD, priority, 0, 0),
                    "ioprio_set",
                    "IOPRIO_WHO_PROCESS",
                    CALLING_THREAD,
                    "0x" + Integer.toHexString(priority));
        }
    }
}
