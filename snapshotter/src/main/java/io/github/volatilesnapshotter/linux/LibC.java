package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * The C functions as they are: numbers and pointers in, -1 and errno out. Nothing is checked here; {@link SystemCalls}
 * does that.
 *
 * <p>Each function takes as its first argument the memory that receives errno, laid out as {@link #CALL_STATE}: the JVM
 * itself makes calls between ours, so errno must be taken in the same downcall.
 *
 * <p>A shape of arguments and result that no function before had costs about 5 ms when it is linked, one that is known
 * 0.2 ms. So a function is chosen whose shape is already here where there is a choice: renameat2 has the shape of
 * move_mount, chmod that of umount2.
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
        try {
            return (int) Handles.OPENAT.invokeExact(callState, directory, path, flags, mode);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/close.2.html">close(2)</a>. */
    static int close(MemorySegment callState, int descriptor) {
        try {
            return (int) Handles.CLOSE.invokeExact(callState, descriptor);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/read.2.html">read(2)</a>. */
    static long read(MemorySegment callState, int descriptor, MemorySegment buffer, long length) {
        try {
            return (long) Handles.READ.invokeExact(callState, descriptor, buffer, length);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/write.2.html">write(2)</a>. */
    static long write(MemorySegment callState, int descriptor, MemorySegment buffer, long length) {
        try {
            return (long) Handles.WRITE.invokeExact(callState, descriptor, buffer, length);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/lseek.2.html">lseek(2)</a>. */
    static long lseek(MemorySegment callState, int descriptor, long offset, int whence) {
        try {
            return (long) Handles.LSEEK.invokeExact(callState, descriptor, offset, whence);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/getdents.2.html">getdents64(2)</a>. */
    static long getdents64(MemorySegment callState, int descriptor, MemorySegment buffer, long length) {
        try {
            return (long) Handles.GETDENTS64.invokeExact(callState, descriptor, buffer, length);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/fsync.2.html">fsync(2)</a>. */
    static int fsync(MemorySegment callState, int descriptor) {
        try {
            return (int) Handles.FSYNC.invokeExact(callState, descriptor);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/fsync.2.html">fdatasync(2)</a>. */
    static int fdatasync(MemorySegment callState, int descriptor) {
        try {
            return (int) Handles.FDATASYNC.invokeExact(callState, descriptor);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/sync.2.html">syncfs(2)</a>. */
    static int syncfs(MemorySegment callState, int descriptor) {
        try {
            return (int) Handles.SYNCFS.invokeExact(callState, descriptor);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/flock.2.html">flock(2)</a>. */
    static int flock(MemorySegment callState, int descriptor, int operation) {
        try {
            return (int) Handles.FLOCK.invokeExact(callState, descriptor, operation);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/statx.2.html">statx(2)</a>. */
    static int statx(
            MemorySegment callState, int directory, MemorySegment path, int flags, int mask, MemorySegment result) {
        try {
            return (int) Handles.STATX.invokeExact(callState, directory, path, flags, mask, result);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/statfs.2.html">statfs(2)</a>. */
    static int statfs(MemorySegment callState, MemorySegment path, MemorySegment result) {
        try {
            return (int) Handles.STATFS.invokeExact(callState, path, result);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/mkdir.2.html">mkdirat(2)</a>. */
    static int mkdirat(MemorySegment callState, int directory, MemorySegment path, int mode) {
        try {
            return (int) Handles.MKDIRAT.invokeExact(callState, directory, path, mode);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/unlink.2.html">unlinkat(2)</a>. */
    static int unlinkat(MemorySegment callState, int directory, MemorySegment path, int flags) {
        try {
            return (int) Handles.UNLINKAT.invokeExact(callState, directory, path, flags);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/rename.2.html">renameat2(2)</a>. */
    static int renameat2(
            MemorySegment callState,
            int fromDirectory,
            MemorySegment from,
            int toDirectory,
            MemorySegment to,
            int flags) {
        try {
            return (int) Handles.RENAMEAT2.invokeExact(callState, fromDirectory, from, toDirectory, to, flags);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/chmod.2.html">chmod(2)</a>. */
    static int chmod(MemorySegment callState, MemorySegment path, int mode) {
        try {
            return (int) Handles.CHMOD.invokeExact(callState, path, mode);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/chown.2.html">lchown(2)</a>. */
    static int lchown(MemorySegment callState, MemorySegment path, int uid, int gid) {
        try {
            return (int) Handles.LCHOWN.invokeExact(callState, path, uid, gid);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/setxattr.2.html">fsetxattr(2)</a>. */
    static int fsetxattr(
            MemorySegment callState, int descriptor, MemorySegment name, MemorySegment value, long length, int flags) {
        try {
            return (int) Handles.FSETXATTR.invokeExact(callState, descriptor, name, value, length, flags);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/setxattr.2.html">lsetxattr(2)</a>. */
    static int lsetxattr(
            MemorySegment callState,
            MemorySegment path,
            MemorySegment name,
            MemorySegment value,
            long length,
            int flags) {
        try {
            return (int) Handles.LSETXATTR.invokeExact(callState, path, name, value, length, flags);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/getxattr.2.html">lgetxattr(2)</a>. */
    static long lgetxattr(
            MemorySegment callState, MemorySegment path, MemorySegment name, MemorySegment value, long length) {
        try {
            return (long) Handles.LGETXATTR.invokeExact(callState, path, name, value, length);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/removexattr.2.html">lremovexattr(2)</a>. */
    static int lremovexattr(MemorySegment callState, MemorySegment path, MemorySegment name) {
        try {
            return (int) Handles.LREMOVEXATTR.invokeExact(callState, path, name);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/mount.2.html">mount(2)</a>. */
    static int mount(
            MemorySegment callState,
            MemorySegment source,
            MemorySegment target,
            MemorySegment type,
            long flags,
            MemorySegment data) {
        try {
            return (int) Handles.MOUNT.invokeExact(callState, source, target, type, flags, data);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/umount.2.html">umount2(2)</a>. */
    static int umount2(MemorySegment callState, MemorySegment target, int flags) {
        try {
            return (int) Handles.UMOUNT2.invokeExact(callState, target, flags);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** <a href="https://man7.org/linux/man-pages/man2/syscall.2.html">syscall(2)</a> with up to five arguments. */
    static long syscall(
            MemorySegment callState, long number, long first, long second, long third, long fourth, long fifth) {
        try {
            return (long) Handles.SYSCALL.invokeExact(callState, number, first, second, third, fourth, fifth);
        } catch (Throwable thrown) {
            throw unexpected(thrown);
        }
    }

    /** A downcall throws only if it was called with the wrong types, which is our mistake. */
    static IllegalStateException unexpected(Throwable thrown) {
        return new IllegalStateException("native call was made wrongly", thrown);
    }

    /** Whether this C library has the function. */
    static boolean has(String function) {
        return Linker.nativeLinker().defaultLookup().find(function).isPresent();
    }

    static MethodHandle handle(String function, FunctionDescriptor shape, Linker.Option... options) {
        Linker linker = Linker.nativeLinker();
        Linker.Option[] all = new Linker.Option[options.length + 1];
        System.arraycopy(options, 0, all, 0, options.length);
        all[options.length] = Linker.Option.captureCallState("errno");
        return linker.downcallHandle(linker.defaultLookup().findOrThrow(function), shape, all);
    }

    /** Apart, so that linking happens at the first call, on the thread that makes it. */
    private static final class Handles {
        static final MethodHandle OPENAT = handle(
                "openat",
                FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT),
                Linker.Option.firstVariadicArg(3));
        static final MethodHandle CLOSE = handle("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
        static final MethodHandle READ = handle("read", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
        static final MethodHandle WRITE =
                handle("write", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
        static final MethodHandle GETDENTS64 =
                handle("getdents64", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
        static final MethodHandle LSEEK =
                handle("lseek", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT));
        static final MethodHandle FSYNC = handle("fsync", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
        static final MethodHandle FDATASYNC = handle("fdatasync", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
        static final MethodHandle SYNCFS = handle("syncfs", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
        static final MethodHandle FLOCK = handle("flock", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
        static final MethodHandle STATX =
                handle("statx", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT, ADDRESS));
        static final MethodHandle STATFS = handle("statfs", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));
        static final MethodHandle MKDIRAT =
                handle("mkdirat", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT));
        static final MethodHandle UNLINKAT =
                handle("unlinkat", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT));
        static final MethodHandle RENAMEAT2 =
                handle("renameat2", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, JAVA_INT, ADDRESS, JAVA_INT));
        static final MethodHandle CHMOD = handle("chmod", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
        static final MethodHandle LCHOWN =
                handle("lchown", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT));
        static final MethodHandle FSETXATTR =
                handle("fsetxattr", FunctionDescriptor.of(JAVA_INT, JAVA_INT, ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT));
        static final MethodHandle LSETXATTR =
                handle("lsetxattr", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT));
        static final MethodHandle LGETXATTR =
                handle("lgetxattr", FunctionDescriptor.of(JAVA_LONG, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG));
        static final MethodHandle LREMOVEXATTR =
                handle("lremovexattr", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));
        static final MethodHandle MOUNT =
                handle("mount", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG, ADDRESS));
        static final MethodHandle UMOUNT2 = handle("umount2", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT));
        static final MethodHandle SYSCALL = handle(
                "syscall",
                FunctionDescriptor.of(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG),
                Linker.Option.firstVariadicArg(1));
    }
}
