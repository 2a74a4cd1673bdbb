package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/** The flags of <a href="https://man7.org/linux/man-pages/man2/ioctl_iflags.2.html">ioctl_iflags(2)</a> that forbid a removal even to root. */
public final class InodeFlags {
    /** {@code _IOR('f', 1, long)} and {@code _IOW('f', 2, long)}, which carry an int all the same. */
    private static final long GET = 0x80086601L;

    private static final long SET = 0x40086602L;
    private static final int LENGTH_BYTES = 8;
    private static final int IMMUTABLE = 0x10;
    private static final int APPEND_ONLY = 0x20;
    private static final int OPEN = OpenFlags.READ_ONLY | OpenFlags.NO_FOLLOW | OpenFlags.NON_BLOCKING;

    private InodeFlags() {}

    /**
     * Takes both flags away from the file or directory.
     *
     * @param path of a directory or regular file
     * @return false if it has none, or the filesystem has no such flags
     */
    public static boolean unprotect(Path path) throws SyscallException {
        try (Fd file = SystemCalls.open(path, OPEN, 0)) {
            return unprotect(file);
        }
    }

    static boolean unprotect(Fd directory, CString name) throws SyscallException {
        Stat stat = SystemCalls.statx(directory, name);
        if (!stat.isDirectory() && !stat.isRegularFile()) {
            return false; // has no such flags, and to open a device may do something
        }
        try (Fd file = SystemCalls.openat(directory, name, OPEN)) {
            return unprotect(file);
        }
    }

    static boolean unprotect(Fd file) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment flags = frame.allocate(LENGTH_BYTES);
            if (LibC.ioctl(frame.callState(), file.number(), GET, flags) == -1) {
                return false;
            }
            int before = flags.get(JAVA_INT, 0);
            int after = before & ~(IMMUTABLE | APPEND_ONLY);
            if (after == before) {
                return false;
            }
            flags.set(JAVA_INT, 0, after);
            frame.check(LibC.ioctl(frame.callState(), file.number(), SET, flags), "FS_IOC_SETFLAGS", file, after);
            return true;
        }
    }
}
