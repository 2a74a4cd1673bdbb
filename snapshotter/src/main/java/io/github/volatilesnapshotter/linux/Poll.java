package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Waiting for one of several descriptors, see poll(2). */
public final class Poll {
    /** As a timeout: for ever. */
    public static final int NO_TIMEOUT = -1;

    private static final int DESCRIPTOR_BYTES = 8;
    private static final int WANTED_OFFSET = 4;
    private static final int GIVEN_OFFSET = 6;
    private static final short POLLIN = 0x1;
    private static final short POLLPRI = 0x2;
    private static final short POLLERR = 0x8;
    private static final short POLLHUP = 0x10;
    private static final short POLLNVAL = 0x20;

    private Poll() {}

    /**
     * Waits until one of them has something to read, an error or its end. Blocks its thread, which must be a platform thread;
     * the JVM counts it as in native code, so nothing waits for it. Ordinary files, and those of /proc and /sys, always count as
     * readable.
     *
     * @param timeoutMillis 0 to look only, {@link #NO_TIMEOUT} to wait for ever
     * @return those that are readable, in the order given; empty after the timeout, and earlier if a signal came
     */
    public static List<Fd> awaitReadable(List<Fd> files, int timeoutMillis) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment descriptors = frame.allocate((long) DESCRIPTOR_BYTES * Math.max(1, files.size()));
            for (int index = 0; index < files.size(); index++) {
                long offset = (long) DESCRIPTOR_BYTES * index;
                descriptors.set(JAVA_INT, offset, files.get(index).number());
                descriptors.set(JAVA_SHORT, offset + WANTED_OFFSET, (short) (POLLIN | POLLPRI));
            }
            int count = LibC.poll(frame.callState(), descriptors, files.size(), timeoutMillis);
            if (count == -1 && frame.errno().is(Errno.EINTR)) {
                return List.of();
            }
            frame.check(count, "poll", files, timeoutMillis + " ms");
            return count == 0 ? List.of() : readable(files, descriptors);
        }
    }

    private static List<Fd> readable(List<Fd> files, MemorySegment descriptors) throws SyscallException {
        List<Fd> readable = new ArrayList<>();
        for (int index = 0; index < files.size(); index++) {
            short given = descriptors.get(JAVA_SHORT, (long) DESCRIPTOR_BYTES * index + GIVEN_OFFSET);
            if ((given & POLLNVAL) != 0) {
                throw new SyscallException("poll", files.get(index).toString(), Errno.EBADF);
            }
            if ((given & (POLLIN | POLLPRI | POLLERR | POLLHUP)) != 0) {
                readable.add(files.get(index));
            }
        }
        return readable;
    }
}
