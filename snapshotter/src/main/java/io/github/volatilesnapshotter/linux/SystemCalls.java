package io.github.volatilesnapshotter.linux;

import java.io.ByteArrayOutputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * One method per function of {@link LibC}: an error becomes an exception with operation, arguments and errno, a call
 * that a signal interrupted is made again. Safe for use by several threads. A call that may block holds its carrier, so
 * these belong on platform threads.
 */
final class SystemCalls {
    /** Stands for the working directory where a call takes the descriptor of a directory; of no use to absolute paths. */
    static final int AT_WORKING_DIRECTORY = -100;

    static final int AT_SYMLINK_NOFOLLOW = 0x100;
    static final int AT_REMOVE_DIRECTORY = 0x200;
    static final int AT_EMPTY_PATH = 0x1000;
    static final int RENAME_NO_REPLACE = 1;
    private static final int LOCK_EXCLUSIVE_OR_FAIL = 2 | 4;
    private static final int SEEK_FROM_START = 0;
    private static final int READ_CHUNK_BYTES = 64 * 1024;
    private static final int PATH_MAX = 4096;
    /** UTIME_OMIT of utimensat(2). */
    private static final long TIME_LEFT_AS_IT_IS = (1L << 30) - 2;

    private static final int STATX_SIZE_BYTES = 256;
    private static final int STATFS_SIZE_BYTES = 120;

    private SystemCalls() {}

    static Fd open(Path path, int flags, int mode) throws SyscallException {
        return openat(AT_WORKING_DIRECTORY, CString.of(path), flags, mode);
    }

    static Fd openat(Fd directory, CString name, int flags) throws SyscallException {
        return openat(directory.number(), name, flags, 0);
    }

    private static Fd openat(int directory, CString path, int flags, int mode) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment pathname = frame.string(path);
            long result = frame.uninterrupted(
                    callState -> LibC.openat(callState, directory, pathname, flags | OpenFlags.CLOSE_ON_EXEC, mode));
            frame.check(result, "open", path, "0x" + Integer.toHexString(flags));
            return new Fd((int) result, path);
        }
    }

    /** All bytes from the file's position to its end: for files of /proc, whose size is not known before. */
    static byte[] readAll(Fd file) throws SyscallException {
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        try (CallFrame frame = new CallFrame()) {
            MemorySegment buffer = frame.allocate(READ_CHUNK_BYTES);
            long count = read(frame, file, buffer);
            while (count > 0) {
                content.writeBytes(buffer.asSlice(0, count).toArray(ValueLayout.JAVA_BYTE));
                count = read(frame, file, buffer);
            }
        }
        return content.toByteArray();
    }

    private static long read(CallFrame frame, Fd file, MemorySegment buffer) throws SyscallException {
        int number = file.number();
        long count = frame.uninterrupted(callState -> LibC.read(callState, number, buffer, buffer.byteSize()));
        return frame.check(count, "read", file);
    }

    /** What there is to read now, at most the buffer's size; 0 at the end of the file, and if there is nothing at this moment. */
    static long readAvailable(Fd file, MemorySegment buffer) throws SyscallException {
        int number = file.number();
        try (CallFrame frame = new CallFrame()) {
            long count = frame.uninterrupted(callState -> LibC.read(callState, number, buffer, buffer.byteSize()));
            if (count == -1 && frame.errno().is(Errno.EAGAIN)) {
                return 0;
            }
            return frame.check(count, "read", file);
        }
    }

    static void write(Fd file, byte[] bytes) throws SyscallException {
        int number = file.number();
        try (CallFrame frame = new CallFrame()) {
            MemorySegment rest = frame.bytes(bytes);
            while (rest.byteSize() > 0) {
                MemorySegment next = rest;
                long count = frame.uninterrupted(callState -> LibC.write(callState, number, next, next.byteSize()));
                frame.check(count, "write", file, bytes.length + " bytes");
                rest = rest.asSlice(count);
            }
        }
    }

    static void seekFromStart(Fd file, long offset) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            long result = LibC.lseek(frame.callState(), file.number(), offset, SEEK_FROM_START);
            frame.check(result, "lseek", file, offset);
        }
    }

    /** Fills the buffer with {@code struct linux_dirent64}; returns the bytes used, 0 at the directory's end. */
    static long getdents64(Fd directory, MemorySegment buffer) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            long count = LibC.getdents64(frame.callState(), directory.number(), buffer, buffer.byteSize());
            return frame.check(count, "getdents64", directory);
        }
    }

    static Optional<Errno> fsyncError(Fd file) {
        try (CallFrame frame = new CallFrame()) {
            int number = file.number();
            long result = frame.uninterrupted(callState -> LibC.fsync(callState, number));
            return result == -1 ? Optional.of(frame.errno()) : Optional.empty();
        }
    }

    static void fsync(Fd file) throws SyscallException {
        int number = file.number();
        try (CallFrame frame = new CallFrame()) {
            frame.check(frame.uninterrupted(callState -> LibC.fsync(callState, number)), "fsync", file);
        }
    }

    static void fdatasync(Fd file) throws SyscallException {
        int number = file.number();
        try (CallFrame frame = new CallFrame()) {
            frame.check(frame.uninterrupted(callState -> LibC.fdatasync(callState, number)), "fdatasync", file);
        }
    }

    static void syncfs(Fd file) throws SyscallException {
        int number = file.number();
        try (CallFrame frame = new CallFrame()) {
            frame.check(frame.uninterrupted(callState -> LibC.syncfs(callState, number)), "syncfs", file);
        }
    }

    /** Of the whole file, from its begin to its end. */
    static void syncFileRange(Fd file, int flags) throws SyscallException {
        int number = file.number();
        try (CallFrame frame = new CallFrame()) {
            long result = frame.uninterrupted(callState -> LibC.syncFileRange(callState, number, 0, 0, flags));
            frame.check(result, "sync_file_range", file, "0x" + Integer.toHexString(flags));
        }
    }

    /** False if another open file description holds the lock. */
    static boolean lockExclusively(Fd file) throws SyscallException {
        int number = file.number();
        try (CallFrame frame = new CallFrame()) {
            long result = frame.uninterrupted(callState -> LibC.flock(callState, number, LOCK_EXCLUSIVE_OR_FAIL));
            if (result == -1 && frame.errno().is(Errno.EAGAIN)) {
                return false;
            }
            frame.check(result, "flock", file, "LOCK_EX|LOCK_NB");
            return true;
        }
    }

    static Stat statx(CString absolutePath) throws SyscallException {
        return statx(AT_WORKING_DIRECTORY, absolutePath, absolutePath, AT_SYMLINK_NOFOLLOW);
    }

    static Stat statx(Path path) throws SyscallException {
        return statx(AT_WORKING_DIRECTORY, CString.of(path), CString.of(path), AT_SYMLINK_NOFOLLOW);
    }

    static Stat statx(Fd file) throws SyscallException {
        return statx(file.number(), CString.EMPTY, file, AT_EMPTY_PATH);
    }

    static Stat statx(Fd directory, CString name) throws SyscallException {
        return statx(directory.number(), name, name, AT_SYMLINK_NOFOLLOW);
    }

    private static Stat statx(int directory, CString path, Object shown, int flags) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            return Stat.read(statx(frame, directory, path, shown, flags, Stat.STATX_MASK));
        }
    }

    /** Of the mount that the path lies on: a number that is never used twice; null before Linux 6.8. */
    static @Nullable Long uniqueMountId(Path path) throws SyscallException {
        return uniqueMountId(AT_WORKING_DIRECTORY, CString.of(path), CString.of(path), AT_SYMLINK_NOFOLLOW);
    }

    /** Of the mount through which the file was opened; null before Linux 6.8. */
    static @Nullable Long uniqueMountId(Fd file) throws SyscallException {
        return uniqueMountId(file.number(), CString.EMPTY, file, AT_EMPTY_PATH);
    }

    private static @Nullable Long uniqueMountId(int directory, CString path, Object shown, int flags)
            throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            return Stat.readUniqueMountId(statx(frame, directory, path, shown, flags, Stat.STATX_UNIQUE_MOUNT_ID));
        }
    }

    private static MemorySegment statx(CallFrame frame, int directory, CString path, Object shown, int flags, int mask)
            throws SyscallException {
        MemorySegment result = frame.allocate(STATX_SIZE_BYTES);
        frame.check(LibC.statx(frame.callState(), directory, frame.string(path), flags, mask, result), "statx", shown);
        return result;
    }

    static FileSystemStat statfs(Path path) throws SyscallException {
        CString name = CString.of(path);
        try (CallFrame frame = new CallFrame()) {
            MemorySegment result = frame.allocate(STATFS_SIZE_BYTES);
            MemorySegment pathname = frame.string(name);
            frame.check(frame.uninterrupted(callState -> LibC.statfs(callState, pathname, result)), "statfs", name);
            return FileSystemStat.read(result);
        }
    }

    /** Where the symbolic link leads, as it is written there. */
    static CString readlink(Path link) throws SyscallException {
        CString name = CString.of(link);
        try (CallFrame frame = new CallFrame()) {
            MemorySegment result = frame.allocate(PATH_MAX);
            long length = LibC.readlink(frame.callState(), frame.string(name), result, result.byteSize());
            frame.check(length, "readlink", name);
            return CString.ofBytes(result.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE));
        }
    }

    static void mkdir(Path directory, int mode) throws SyscallException {
        CString name = CString.of(directory);
        try (CallFrame frame = new CallFrame()) {
            int result = LibC.mkdirat(frame.callState(), AT_WORKING_DIRECTORY, frame.string(name), mode);
            frame.check(result, "mkdir", name, octal(mode));
        }
    }

    static void chmod(Path path, int mode) throws SyscallException {
        CString name = CString.of(path);
        try (CallFrame frame = new CallFrame()) {
            frame.check(LibC.chmod(frame.callState(), frame.string(name), mode), "chmod", name, octal(mode));
        }
    }

    static void lchown(Path path, int uid, int gid) throws SyscallException {
        CString name = CString.of(path);
        try (CallFrame frame = new CallFrame()) {
            frame.check(LibC.lchown(frame.callState(), frame.string(name), uid, gid), "lchown", name, uid, gid);
        }
    }

    /** Of the path itself; the time of the last access stays. */
    static void setModified(CString path, Stat.Time time) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment times = frame.allocate(4L * Long.BYTES);
            times.set(ValueLayout.JAVA_LONG, Long.BYTES, TIME_LEFT_AS_IT_IS);
            times.set(ValueLayout.JAVA_LONG, 2L * Long.BYTES, time.seconds());
            times.set(ValueLayout.JAVA_LONG, 3L * Long.BYTES, time.nanos());
            int result = LibC.utimensat(
                    frame.callState(), AT_WORKING_DIRECTORY, frame.string(path), times, AT_SYMLINK_NOFOLLOW);
            frame.check(result, "utimensat", path, time);
        }
    }

    static void rename(Path from, Path to, int flags) throws SyscallException {
        CString oldName = CString.of(from);
        CString newName = CString.of(to);
        try (CallFrame frame = new CallFrame()) {
            int result = LibC.renameat2(
                    frame.callState(),
                    AT_WORKING_DIRECTORY,
                    frame.string(oldName),
                    AT_WORKING_DIRECTORY,
                    frame.string(newName),
                    flags);
            frame.check(result, "rename", oldName, newName);
        }
    }

    /** Flags: 0 for anything but a directory, {@link #AT_REMOVE_DIRECTORY} for an empty directory. */
    static void unlink(Path path, int flags) throws SyscallException {
        unlinkat(AT_WORKING_DIRECTORY, CString.of(path), flags);
    }

    static void unlinkat(Fd directory, CString name, int flags) throws SyscallException {
        unlinkat(directory.number(), name, flags);
    }

    private static void unlinkat(int directory, CString path, int flags) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            int result = LibC.unlinkat(frame.callState(), directory, frame.string(path), flags);
            frame.check(result, flags == AT_REMOVE_DIRECTORY ? "rmdir" : "unlink", path);
        }
    }

    static void fsetxattr(Fd file, String name, byte[] value) throws SyscallException {
        CString attribute = CString.of(name);
        try (CallFrame frame = new CallFrame()) {
            int result = LibC.fsetxattr(
                    frame.callState(), file.number(), frame.string(attribute), frame.bytes(value), value.length, 0);
            frame.check(result, "fsetxattr", file, attribute, value.length + " bytes");
        }
    }

    static void lsetxattr(Path path, String name, byte[] value) throws SyscallException {
        CString file = CString.of(path);
        CString attribute = CString.of(name);
        try (CallFrame frame = new CallFrame()) {
            int result = LibC.lsetxattr(
                    frame.callState(),
                    frame.string(file),
                    frame.string(attribute),
                    frame.bytes(value),
                    value.length,
                    0);
            frame.check(result, "lsetxattr", file, attribute, value.length + " bytes");
        }
    }

    /** Null if the file has no such attribute. */
    static byte @Nullable [] lgetxattr(Path path, String name, int largestBytes) throws SyscallException {
        CString file = CString.of(path);
        CString attribute = CString.of(name);
        try (CallFrame frame = new CallFrame()) {
            MemorySegment value = frame.allocate(largestBytes);
            long length = LibC.lgetxattr(
                    frame.callState(), frame.string(file), frame.string(attribute), value, value.byteSize());
            if (length == -1 && frame.errno().is(Errno.ENODATA)) {
                return null;
            }
            frame.check(length, "lgetxattr", file, attribute);
            return value.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE);
        }
    }

    static void lremovexattr(Path path, String name) throws SyscallException {
        CString file = CString.of(path);
        CString attribute = CString.of(name);
        try (CallFrame frame = new CallFrame()) {
            int result = LibC.lremovexattr(frame.callState(), frame.string(file), frame.string(attribute));
            frame.check(result, "lremovexattr", file, attribute);
        }
    }

    static void mount(CString source, Path target, CString type, long flags, CString data) throws SyscallException {
        CString mountPoint = CString.of(target);
        try (CallFrame frame = new CallFrame()) {
            int result = LibC.mount(
                    frame.callState(),
                    frame.string(source),
                    frame.string(mountPoint),
                    frame.string(type),
                    flags,
                    frame.string(data));
            frame.check(result, "mount", source, mountPoint, type, "0x" + Long.toHexString(flags), data);
        }
    }

    static void umount(Path target, int flags) throws SyscallException {
        CString mountPoint = CString.of(target);
        try (CallFrame frame = new CallFrame()) {
            int result = LibC.umount2(frame.callState(), frame.string(mountPoint), flags);
            frame.check(result, "umount2", mountPoint, "0x" + Integer.toHexString(flags));
        }
    }

    private static String octal(int mode) {
        return "0" + Integer.toOctalString(mode);
    }
}
