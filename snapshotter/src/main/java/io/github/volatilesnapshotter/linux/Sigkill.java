package io.github.volatilesnapshotter.linux;

/** The signal that nobody can catch. */
public final class Sigkill {
    private static final int SIGKILL = 9;

    private Sigkill() {}

    /** Ends this process at once, as {@code kill -9} does. Does not return. */
    public static void self() {
        try (CallFrame frame = new CallFrame()) {
            int pid = Math.toIntExact(ProcessHandle.current().pid());
            throw new IllegalStateException("kill(2) came back: " + LibC.kill(frame.callState(), pid, SIGKILL));
        }
    }
}
