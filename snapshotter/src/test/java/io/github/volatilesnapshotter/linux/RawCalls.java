package io.github.volatilesnapshotter.linux;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/** Calls that only tests of facts make. */
final class RawCalls {
    private static final int DIRECT_ALIGNMENT_BYTES = 4096;

    private static final long FSCONFIG = 431;
    private static final long FSPICK = 433;
    private static final int FSPICK_CLOSE_ON_EXEC = 1;
    private static final int FSCONFIG_SET_STRING = 1;
    private static final int FSCONFIG_CMD_RECONFIGURE = 7;

    private static final long MS_READ_ONLY = 1;
    private static final long MS_REMOUNT = 1 << 5;

    private static final MethodHandle DUP = LibC.handle("dup", 1);
    private static final MethodHandle FUTIMENS = LibC.handle("futimens", 2);

    private RawCalls() {}

    /** <a href="https://man7.org/linux/man-pages/man2/dup.2.html">dup(2)</a>. */
    static Fd dup(Fd file) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            int number = (int) LibC.call(DUP, frame.callState(), file.number());
            frame.check(number, "dup", file);
            return new Fd(number, CString.of("copy"));
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man3/futimens.3.html">futimens(3)</a>, to the present time. */
    static void touch(Fd file) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            int result = (int) LibC.call(FUTIMENS, frame.callState(), file.number(), 0);
            frame.check(result, "futimens", file);
        }
    }

    /** Writes past the page cache; a multiple of 4 KiB. */
    static void writeDirectly(Path file, byte[] bytes) throws SyscallException {
        try (Fd opened = SystemCalls.open(file, OpenFlags.READ_WRITE | OpenFlags.DIRECT, 0);
                CallFrame frame = new CallFrame()) {
            MemorySegment larger = frame.allocate(bytes.length + DIRECT_ALIGNMENT_BYTES);
            long start = -larger.address() & (DIRECT_ALIGNMENT_BYTES - 1);
            MemorySegment aligned = larger.asSlice(start, bytes.length).copyFrom(MemorySegment.ofArray(bytes));
            frame.check(
                    LibC.write(frame.callState(), opened.number(), aligned, bytes.length), "write", opened, "O_DIRECT");
        }
    }

    /** mount(2) with MS_REMOUNT, of an overlay. */
    static void remount(Path mountPoint, boolean readOnly, String options) throws SyscallException {
        CString overlay = CString.of("overlay");
        SystemCalls.mount(
                overlay, mountPoint, overlay, MS_REMOUNT | (readOnly ? MS_READ_ONLY : 0), CString.of(options));
    }

    /** The new API's remount: fspick, one parameter, FSCONFIG_CMD_RECONFIGURE. */
    static void reconfigure(Path mountPoint, String key, String value) throws SyscallException {
        CString path = CString.of(mountPoint);
        try (CallFrame frame = new CallFrame()) {
            long context = LibC.syscall(
                    frame.callState(),
                    FSPICK,
                    SystemCalls.AT_WORKING_DIRECTORY,
                    frame.string(path).address(),
                    FSPICK_CLOSE_ON_EXEC,
                    0,
                    0);
            frame.check(context, "fspick", path);
            try (Fd picked = new Fd((int) context, path)) {
                fsconfig(
                        frame,
                        picked,
                        FSCONFIG_SET_STRING,
                        frame.string(CString.of(key)),
                        frame.string(CString.of(value)));
                fsconfig(frame, picked, FSCONFIG_CMD_RECONFIGURE, MemorySegment.NULL, MemorySegment.NULL);
            }
        }
    }

    private static void fsconfig(CallFrame frame, Fd context, int command, MemorySegment key, MemorySegment value)
            throws SyscallException {
        long result =
                LibC.syscall(frame.callState(), FSCONFIG, context.number(), command, key.address(), value.address(), 0);
        frame.check(result, "fsconfig", context, command);
    }
}
