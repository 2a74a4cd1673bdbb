package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * An open file descriptor, always close-on-exec. Safe for use by several threads, but whoever closes it must know that
 * no other thread is still about to use the number.
 */
public final class Fd implements AutoCloseable {
    private static final int OWNER_ONLY = 0b110_000_000;

    private final int number;
    private final CString origin;
    private final AtomicBoolean open = new AtomicBoolean(true);

    /** Takes over the descriptor. The origin is what was opened, for messages. */
    Fd(int number, CString origin) {
        this.number = number;
        this.origin = origin;
    }

    /** A directory, for reading: fsync, syncfs and reading entries work on it. */
    public static Fd openDirectory(Path directory) throws SyscallException {
        return SystemCalls.open(directory, OpenFlags.READ_ONLY | OpenFlags.DIRECTORY, 0);
    }

    /** Anything, only as a name for it (O_PATH): fsync and syncfs on it fail with EBADF. */
    public static Fd openPath(Path path) throws SyscallException {
        return SystemCalls.open(path, OpenFlags.PATH, 0);
    }

    public static Fd openReadOnly(Path file) throws SyscallException {
        return SystemCalls.open(file, OpenFlags.READ_ONLY, 0);
    }

    /**
     * A new file, for reading and writing; EEXIST if there is one. Durable only after fsync of the file and of its
     * directory.
     *
     * @param mode from which the kernel takes away the umask
     */
    public static Fd create(Path file, int mode) throws SyscallException {
        return SystemCalls.open(file, OpenFlags.READ_WRITE | OpenFlags.CREATE | OpenFlags.EXCLUSIVE, mode);
    }

    /** A file for reading and writing; created with mode 0600 if absent. */
    public static Fd openReadWrite(Path file) throws SyscallException {
        return SystemCalls.open(file, OpenFlags.READ_WRITE | OpenFlags.CREATE, OWNER_ONLY);
    }

    /** A file to whose end everything is written; created with mode 0600 if absent. */
    public static Fd openAppend(Path file) throws SyscallException {
        return SystemCalls.open(file, OpenFlags.READ_WRITE | OpenFlags.CREATE | OpenFlags.APPEND, OWNER_ONLY);
    }

    /** As {@link #openAppend}, and what the file held is gone. */
    public static Fd openEmptied(Path file) throws SyscallException {
        return SystemCalls.open(
                file, OpenFlags.READ_WRITE | OpenFlags.CREATE | OpenFlags.APPEND | OpenFlags.TRUNCATE, OWNER_ONLY);
    }

    /** Throws IllegalStateException once closed: the kernel may have given the number to another file. */
    public int number() {
        if (!open.get()) {
            throw new IllegalStateException(origin + " is closed");
        }
        return number;
    }

    public boolean isOpen() {
        return open.get();
    }

    /** Writes all bytes at the file's position. They are not durable before {@link Sync#fsync}. */
    public void write(byte[] bytes) throws SyscallException {
        SystemCalls.write(this, bytes);
    }

    /**
     * Gives the descriptor back, once. An error of close(2) other than EBADF is not reported: the descriptor is gone
     * then all the same, and whether data reached the disk only fsync and syncfs tell.
     */
    @Override
    public void close() {
        if (!open.compareAndSet(true, false)) {
            return;
        }
        try (CallFrame frame = new CallFrame()) {
            // Never again after EINTR: Linux has released the number by then, and another thread may own it.
            int result = LibC.close(frame.callState(), number);
            if (result == -1 && frame.errno().is(Errno.EBADF)) {
                throw new IllegalStateException(this + " was closed by somebody else");
            }
        }
    }

    /** For messages, for example {@code fd 7 of "/var/lib"}. */
    @Override
    public String toString() {
        return "fd " + number + " of " + origin;
    }
}
