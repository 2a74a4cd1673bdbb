package io.github.volatilesnapshotter.linux;

import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * A flag that wakes a thread in {@link Poll}, see eventfd(2). Signals that nobody has drained yet are one. Safe for use by
 * several threads; whoever closes it must know that none is about to signal.
 */
public final class EventFd implements AutoCloseable {
    private static final byte[] ONE = ByteBuffer.allocate(Long.BYTES)
            .order(ByteOrder.nativeOrder())
            .putLong(1)
            .array();

    private final Fd fd;

    private EventFd(Fd fd) {
        this.fd = fd;
    }

    /** One that is not signalled. */
    public static EventFd create() throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            int flags = OpenFlags.NON_BLOCKING | OpenFlags.CLOSE_ON_EXEC;
            long result = frame.check(LibC.eventfd(frame.callState(), 0, flags), "eventfd", 0);
            return new EventFd(new Fd((int) result, CString.of("eventfd")));
        }
    }

    /** From now on it is readable, until somebody drains it. Never blocks. */
    public void signal() throws SyscallException {
        try {
            SystemCalls.write(fd, ONE);
        } catch (SyscallException failure) {
            // The counter is full: signalled it is all the same.
            if (!failure.errno().is(Errno.EAGAIN)) {
                throw failure;
            }
        }
    }

    /** Returns whether it was signalled, and takes that back. Never blocks. */
    public boolean drain() throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment counter = frame.allocate(Long.BYTES);
            return SystemCalls.readAvailable(fd, counter) > 0;
        }
    }

    /** For {@link Poll}. */
    public Fd fd() {
        return fd;
    }

    @Override
    public void close() {
        fd.close();
    }
}
