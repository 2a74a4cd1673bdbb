package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Calls that only tests of facts make. */
final class RawCalls {
    private static final int DIRECT_ALIGNMENT_BYTES = 4096;

    private static final long FSCONFIG = 431;
    private static final long FSPICK = 433;
    private static final int FSPICK_CLOSE_ON_EXEC = 1;
    private static final int FSCONFIG_SET_FLAG = 0;
    private static final int FSCONFIG_SET_STRING = 1;
    private static final int FSCONFIG_CMD_RECONFIGURE = 7;

    private static final long MOUNT_SETATTR = 442;
    private static final long ATTRIBUTE_READ_ONLY = 1;
    private static final int ATTRIBUTES_BYTES = 32;

    /** MOVE_MOUNT_F_EMPTY_PATH and MOVE_MOUNT_BENEATH. */
    private static final int MOVE_BENEATH = 0x4 | 0x200;

    private static final int RWF_DSYNC = 2;
    private static final short POLLPRI = 2;
    private static final int POLL_DESCRIPTOR_BYTES = 8;
    private static final int POLL_WANTED_OFFSET = 4;
    private static final int POLL_GIVEN_OFFSET = 6;

    private static final long MS_READ_ONLY = 1;
    private static final long MS_REMOUNT = 1 << 5;

    private static final MethodHandle DUP = LibC.handle("dup", 1);
    private static final MethodHandle FUTIMENS = LibC.handle("futimens", 2);
    private static final MethodHandle PWRITEV2 = LibC.handle("pwritev2", 5);

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
        reconfigure(mountPoint, FSCONFIG_SET_STRING, CString.of(key), CString.of(value));
    }

    /** As {@link #reconfigure(Path, String, String)}, with a parameter that has no value. */
    static void reconfigure(Path mountPoint, String flag) throws SyscallException {
        reconfigure(mountPoint, FSCONFIG_SET_FLAG, CString.of(flag), null);
    }

    private static void reconfigure(Path mountPoint, int command, CString key, @Nullable CString value)
            throws SyscallException {
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
                        command,
                        frame.string(key),
                        value == null ? MemorySegment.NULL : frame.string(value));
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

    /** mount_setattr(2) with MOUNT_ATTR_RDONLY: this mount only. */
    static void makeReadOnly(Path mountPoint) throws SyscallException {
        CString path = CString.of(mountPoint);
        try (CallFrame frame = new CallFrame()) {
            MemorySegment attributes = frame.allocate(ATTRIBUTES_BYTES);
            attributes.set(JAVA_LONG, 0, ATTRIBUTE_READ_ONLY);
            long result = LibC.syscall(
                    frame.callState(),
                    MOUNT_SETATTR,
                    SystemCalls.AT_WORKING_DIRECTORY,
                    frame.string(path).address(),
                    0,
                    attributes.address(),
                    ATTRIBUTES_BYTES);
            frame.check(result, "mount_setattr", path, "MOUNT_ATTR_RDONLY");
        }
    }

    /** Puts a mount that is attached nowhere below the one at the target, which goes on covering it. */
    static void moveBeneath(Fd detached, Path target) throws SyscallException {
        CString mountPoint = CString.of(target);
        try (CallFrame frame = new CallFrame()) {
            int result = MountApi.ofThisLibrary()
                    .moveMount(
                            frame.callState(),
                            detached.number(),
                            frame.string(CString.EMPTY),
                            SystemCalls.AT_WORKING_DIRECTORY,
                            frame.string(mountPoint),
                            MOVE_BENEATH);
            frame.check(result, "move_mount", detached, mountPoint, "MOVE_MOUNT_BENEATH");
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/ioctl.2.html">ioctl(2)</a> with a number behind the pointer. */
    static void ioctl(Fd file, long request, int argument) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment pointed = frame.allocate(Long.BYTES);
            pointed.set(JAVA_INT, 0, argument);
            int result = LibC.ioctl(frame.callState(), file.number(), request, pointed);
            frame.check(result, "ioctl", file, "0x" + Long.toHexString(request));
        }
    }

    /** pwritev2(2) at the file's begin with RWF_DSYNC: O_DSYNC for this write only. */
    static void writeThrough(Fd file, byte[] bytes) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment vector = frame.allocate(2L * Long.BYTES);
            vector.set(JAVA_LONG, 0, frame.bytes(bytes).address());
            vector.set(JAVA_LONG, Long.BYTES, bytes.length);
            long result = LibC.call(PWRITEV2, frame.callState(), file.number(), vector.address(), 1, 0, RWF_DSYNC);
            frame.check(result, "pwritev2", file, "RWF_DSYNC");
        }
    }

    /** Waits for POLLPRI alone, with which a file of /proc or /sys tells that it has changed; {@link Poll} finds these always readable. */
    static boolean awaitChange(Fd file, int timeoutMillis) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment descriptor = frame.allocate(POLL_DESCRIPTOR_BYTES);
            descriptor.set(JAVA_INT, 0, file.number());
            descriptor.set(JAVA_SHORT, POLL_WANTED_OFFSET, POLLPRI);
            long count = frame.uninterrupted(callState -> LibC.poll(callState, descriptor, 1, timeoutMillis));
            frame.check(count, "poll", file, timeoutMillis + " ms");
            return (descriptor.get(JAVA_SHORT, POLL_GIVEN_OFFSET) & POLLPRI) != 0;
        }
    }
}
