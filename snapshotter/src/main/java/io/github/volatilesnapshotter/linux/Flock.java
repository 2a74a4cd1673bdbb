package io.github.volatilesnapshotter.linux;

/** Locks of flock(2): they belong to the open file, and end when it is closed or its process dies. */
public final class Flock {
    private Flock() {}

    /** Takes the lock and returns true; false at once if another open file holds it. */
    public static boolean tryExclusive(Fd file) throws SyscallException {
        return SystemCalls.lockExclusively(file);
    }
}
