package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.util.Arrays;

/**
 * The C functions as they are: numbers and pointers in, -1 and errno out. Nothing is checked here; {@link SystemCalls}
 * does that. Memory whose address is handed over must outlive the call.
 *
 * <p>Each function takes as its first argument the memory that receives errno, laid out as {@link #CALL_STATE}: the JVM
 * itself makes calls between ours, so errno must be taken in the same downcall.
 *
 * <p>To the linker every argument and result is a register of 64 bits: on x86_64 and aarch64 a pointer fills one, of an
 * int only the lower half is looked at, by the callee as by us. So there is one shape for each number of arguments, 7
 * instead of 18, and linking takes 115 ms of processor time instead of 170 (JDK 25, C1). A call costs the same.
 */
final class LibC {
    static final MemoryLayout CALL_STATE = Linker.Option.captureStateLayout();
    private static final long ERRNO_OFFSET = CALL_STATE.byteOffset(PathElement.groupElement("errno"));

    private LibC() {}

    static Errno errno(MemorySegment callState) {
        return new Errno(callState.get(JAVA_INT, ERRNO_OFFSET));
    }

    /** Links every function; otherwise the first call does, and waits for it. */
    static void link() {
        // Initializes the holder, whose fields are the linked functions.
        Handles.CLOSE.type();
    }

    /** <a href="https://man7.org/linux/man-pages/man2/openat.2.html">openat(2)</a>. */
    static int openat(MemorySegment callState, int directory, MemorySegment path, int flags, int mode) {
        return (int) call(Handles.OPENAT, callState, directory, path.address(), flags, mode);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/close.2.html">close(2)</a>. */
    static int close(MemorySegment callState, int descriptor) {
        return (int) call(Handles.CLOSE, callState, descriptor);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/read.2.html">read(2)</a>. */
    static long read(MemorySegment callState, int descriptor, MemorySegment buffer, long length) {
        return call(Handles.READ, callState, descriptor, buffer.address(), length);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/write.2.html">write(2)</a>. */
    static long write(MemorySegment callState, int descriptor, MemorySegment buffer, long length) {
        return call(Handles.WRITE, callState, descriptor, buffer.address(), length);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/lseek.2.html">lseek(2)</a>. */
    static long lseek(MemorySegment callState, int descriptor, long offset, int whence) {
        return call(Handles.LSEEK, callState, descriptor, offset, whence);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/getdents.2.html">getdents64(2)</a>. */
    static long getdents64(MemorySegment callState, int descriptor, MemorySegment buffer, long length) {
        return call(Handles.GETDENTS64, callState, descriptor, buffer.address(), length);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/fsync.2.html">fsync(2)</a>. */
    static int fsync(MemorySegment callState, int descriptor) {
        return (int) call(Handles.FSYNC, callState, descriptor);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/fsync.2.html">fdatasync(2)</a>. */
    static int fdatasync(MemorySegment callState, int descriptor) {
        return (int) call(Handles.FDATASYNC, callState, descriptor);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/sync.2.html">syncfs(2)</a>. */
    static int syncfs(MemorySegment callState, int descriptor) {
        return (int) call(Handles.SYNCFS, callState, descriptor);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/sync_file_range.2.html">sync_file_range(2)</a>. */
    static int syncFileRange(MemorySegment callState, int descriptor, long offset, long length, int flags) {
        return (int) call(Handles.SYNC_FILE_RANGE, callState, descriptor, offset, length, flags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/setpriority.2.html">setpriority(2)</a>. */
    static int setpriority(MemorySegment callState, int which, int who, int niceness) {
        return (int) call(Handles.SETPRIORITY, callState, which, who, niceness);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/gettid.2.html">gettid(2)</a>. */
    static int gettid(MemorySegment callState) {
        // It looks at no register: one spares a shape.
        return (int) call(Handles.GETTID, callState, 0);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/kill.2.html">kill(2)</a>. */
    static int kill(MemorySegment callState, int pid, int signal) {
        return (int) call(KillHandle.KILL, callState, pid, signal);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/flock.2.html">flock(2)</a>. */
    static int flock(MemorySegment callState, int descriptor, int operation) {
        return (int) call(Handles.FLOCK, callState, descriptor, operation);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/statx.2.html">statx(2)</a>. */
    static int statx(
            MemorySegment callState, int directory, MemorySegment path, int flags, int mask, MemorySegment result) {
        return (int) call(Handles.STATX, callState, directory, path.address(), flags, mask, result.address());
    }

    /** <a href="https://man7.org/linux/man-pages/man2/statfs.2.html">statfs(2)</a>. */
    static int statfs(MemorySegment callState, MemorySegment path, MemorySegment result) {
        return (int) call(Handles.STATFS, callState, path.address(), result.address());
    }

    /** <a href="https://man7.org/linux/man-pages/man2/mkdir.2.html">mkdirat(2)</a>. */
    static int mkdirat(MemorySegment callState, int directory, MemorySegment path, int mode) {
        return (int) call(Handles.MKDIRAT, callState, directory, path.address(), mode);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/unlink.2.html">unlinkat(2)</a>. */
    static int unlinkat(MemorySegment callState, int directory, MemorySegment path, int flags) {
        return (int) call(Handles.UNLINKAT, callState, directory, path.address(), flags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/rename.2.html">renameat2(2)</a>. */
    static int renameat2(
            MemorySegment callState,
            int fromDirectory,
            MemorySegment from,
            int toDirectory,
            MemorySegment to,
            int flags) {
        return (int)
                call(Handles.RENAMEAT2, callState, fromDirectory, from.address(), toDirectory, to.address(), flags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/chmod.2.html">chmod(2)</a>. */
    static int chmod(MemorySegment callState, MemorySegment path, int mode) {
        return (int) call(Handles.CHMOD, callState, path.address(), mode);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/chown.2.html">lchown(2)</a>. */
    static int lchown(MemorySegment callState, MemorySegment path, int uid, int gid) {
        return (int) call(Handles.LCHOWN, callState, path.address(), uid, gid);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/setxattr.2.html">fsetxattr(2)</a>. */
    static int fsetxattr(
            MemorySegment callState, int descriptor, MemorySegment name, MemorySegment value, long length, int flags) {
        return (int) call(Handles.FSETXATTR, callState, descriptor, name.address(), value.address(), length, flags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/setxattr.2.html">lsetxattr(2)</a>. */
    static int lsetxattr(
            MemorySegment callState,
            MemorySegment path,
            MemorySegment name,
            MemorySegment value,
            long length,
            int flags) {
        return (int) call(Handles.LSETXATTR, callState, path.address(), name.address(), value.address(), length, flags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/getxattr.2.html">lgetxattr(2)</a>. */
    static long lgetxattr(
            MemorySegment callState, MemorySegment path, MemorySegment name, MemorySegment value, long length) {
        return call(Handles.LGETXATTR, callState, path.address(), name.address(), value.address(), length);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/removexattr.2.html">lremovexattr(2)</a>. */
    static int lremovexattr(MemorySegment callState, MemorySegment path, MemorySegment name) {
        return (int) call(Handles.LREMOVEXATTR, callState, path.address(), name.address());
    }

    /** <a href="https://man7.org/linux/man-pages/man2/utimensat.2.html">utimensat(2)</a>. */
    static int utimensat(MemorySegment callState, int directory, MemorySegment path, MemorySegment times, int flags) {
        return (int) call(Handles.UTIMENSAT, callState, directory, path.address(), times.address(), flags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/readlink.2.html">readlink(2)</a>: ends the result with no NUL. */
    static long readlink(MemorySegment callState, MemorySegment path, MemorySegment result, long length) {
        return call(Handles.READLINK, callState, path.address(), result.address(), length);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/eventfd.2.html">eventfd(2)</a>. */
    static int eventfd(MemorySegment callState, int initial, int flags) {
        return (int) call(Handles.EVENTFD, callState, initial, flags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/poll.2.html">poll(2)</a>. */
    static int poll(MemorySegment callState, MemorySegment descriptors, long count, int timeoutMillis) {
        return (int) call(Handles.POLL, callState, descriptors.address(), count, timeoutMillis);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/ioctl.2.html">ioctl(2)</a> with a pointer. */
    static int ioctl(MemorySegment callState, int descriptor, long request, MemorySegment argument) {
        return (int) call(IoctlHandle.IOCTL, callState, descriptor, request, argument.address());
    }

    /** <a href="https://man7.org/linux/man-pages/man2/open_by_handle_at.2.html">open_by_handle_at(2)</a>. */
    static int openByHandleAt(MemorySegment callState, int mountDescriptor, MemorySegment fileHandle, int flags) {
        return (int) call(Handles.OPEN_BY_HANDLE_AT, callState, mountDescriptor, fileHandle.address(), flags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/fanotify_init.2.html">fanotify_init(2)</a>. */
    static int fanotifyInit(MemorySegment callState, int flags, int eventFlags) {
        return (int) call(Handles.FANOTIFY_INIT, callState, flags, eventFlags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/fanotify_mark.2.html">fanotify_mark(2)</a>. */
    static int fanotifyMark(
            MemorySegment callState, int group, int flags, long mask, int directory, MemorySegment path) {
        return (int) call(Handles.FANOTIFY_MARK, callState, group, flags, mask, directory, path.address());
    }

    /** <a href="https://man7.org/linux/man-pages/man2/mount.2.html">mount(2)</a>. */
    static int mount(
            MemorySegment callState,
            MemorySegment source,
            MemorySegment target,
            MemorySegment type,
            long flags,
            MemorySegment data) {
        return (int) call(
                Handles.MOUNT, callState, source.address(), target.address(), type.address(), flags, data.address());
    }

    /** <a href="https://man7.org/linux/man-pages/man2/umount.2.html">umount2(2)</a>. */
    static int umount2(MemorySegment callState, MemorySegment target, int flags) {
        return (int) call(Handles.UMOUNT2, callState, target.address(), flags);
    }

    /** <a href="https://man7.org/linux/man-pages/man2/syscall.2.html">syscall(2)</a> with up to five arguments. */
    static long syscall(
            MemorySegment callState, long number, long first, long second, long third, long fourth, long fifth) {
        return call(Handles.SYSCALL, callState, number, first, second, third, fourth, fifth);
    }

    /** Whether this C library has the function. */
    static boolean has(String function) {
        return Linker.nativeLinker().defaultLookup().find(function).isPresent();
    }

    static MethodHandle handle(String function, int arguments, Linker.Option... options) {
        MemoryLayout[] registers = new MemoryLayout[arguments];
        Arrays.fill(registers, JAVA_LONG);
        Linker.Option[] all = Arrays.copyOf(options, options.length + 1);
        all[options.length] = Linker.Option.captureCallState("errno");
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(
                linker.defaultLookup().findOrThrow(function), FunctionDescriptor.of(JAVA_LONG, registers), all);
    }

    static long call(MethodHandle function, MemorySegment callState, long register1) {
        try {
            return (long) function.invokeExact(callState, register1);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    static long call(MethodHandle function, MemorySegment callState, long register1, long register2) {
        try {
            return (long) function.invokeExact(callState, register1, register2);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    static long call(MethodHandle function, MemorySegment callState, long register1, long register2, long register3) {
        try {
            return (long) function.invokeExact(callState, register1, register2, register3);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    static long call(
            MethodHandle function,
            MemorySegment callState,
            long register1,
            long register2,
            long register3,
            long register4) {
        try {
            return (long) function.invokeExact(callState, register1, register2, register3, register4);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    static long call(
            MethodHandle function,
            MemorySegment callState,
            long register1,
            long register2,
            long register3,
            long register4,
            long register5) {
        try {
            return (long) function.invokeExact(callState, register1, register2, register3, register4, register5);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    static long call(
            MethodHandle function,
            MemorySegment callState,
            long register1,
            long register2,
            long register3,
            long register4,
            long register5,
            long register6) {
        try {
            return (long)
                    function.invokeExact(callState, register1, register2, register3, register4, register5, register6);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** A downcall throws only if it was made with the wrong types, which is our mistake. */
    private static IllegalStateException unexpected(Throwable thrown) {
        return new IllegalStateException("native call was made wrongly", thrown);
    }

    /** Apart, so that linking happens at the first call, on the thread that makes it. */
    private static final class Handles {
        static final MethodHandle OPENAT = handle("openat", 4, Linker.Option.firstVariadicArg(3));
        static final MethodHandle CLOSE = handle("close", 1);
        static final MethodHandle READ = handle("read", 3);
        static final MethodHandle WRITE = handle("write", 3);
        static final MethodHandle LSEEK = handle("lseek", 3);
        static final MethodHandle GETDENTS64 = handle("getdents64", 3);
        static final MethodHandle FSYNC = handle("fsync", 1);
        static final MethodHandle FDATASYNC = handle("fdatasync", 1);
        static final MethodHandle SYNCFS = handle("syncfs", 1);
        static final MethodHandle SYNC_FILE_RANGE = handle("sync_file_range", 4);
        static final MethodHandle FLOCK = handle("flock", 2);
        static final MethodHandle SETPRIORITY = handle("setpriority", 3);
        static final MethodHandle GETTID = handle("gettid", 1);
        static final MethodHandle STATX = handle("statx", 5);
        static final MethodHandle STATFS = handle("statfs", 2);
        static final MethodHandle MKDIRAT = handle("mkdirat", 3);
        static final MethodHandle UNLINKAT = handle("unlinkat", 3);
        static final MethodHandle RENAMEAT2 = handle("renameat2", 5);
        static final MethodHandle CHMOD = handle("chmod", 2);
        static final MethodHandle LCHOWN = handle("lchown", 3);
        static final MethodHandle UTIMENSAT = handle("utimensat", 4);
        static final MethodHandle FSETXATTR = handle("fsetxattr", 5);
        static final MethodHandle LSETXATTR = handle("lsetxattr", 5);
        static final MethodHandle LGETXATTR = handle("lgetxattr", 4);
        static final MethodHandle LREMOVEXATTR = handle("lremovexattr", 2);
        static final MethodHandle MOUNT = handle("mount", 5);
        static final MethodHandle UMOUNT2 = handle("umount2", 2);
        static final MethodHandle READLINK = handle("readlink", 3);
        static final MethodHandle EVENTFD = handle("eventfd", 2);
        static final MethodHandle POLL = handle("poll", 3);
        static final MethodHandle OPEN_BY_HANDLE_AT = handle("open_by_handle_at", 3);
        static final MethodHandle FANOTIFY_INIT = handle("fanotify_init", 2);
        static final MethodHandle FANOTIFY_MARK = handle("fanotify_mark", 5);
        static final MethodHandle SYSCALL = handle("syscall", 6, Linker.Option.firstVariadicArg(1));
    }

    /** Used at most once in the life of a process. */
    private static final class KillHandle {
        static final MethodHandle KILL = handle("kill", 2);
    }

    /** A shape that no other function has, and needed only where an error is looked into. */
    private static final class IoctlHandle {
        static final MethodHandle IOCTL = handle("ioctl", 3, Linker.Option.firstVariadicArg(2));
    }
}
