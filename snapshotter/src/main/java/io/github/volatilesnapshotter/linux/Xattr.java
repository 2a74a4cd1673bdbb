package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** Extended attributes. Symbolic links are not followed. Nothing here is durable before a sync. */
public final class Xattr {
    /** XATTR_SIZE_MAX of include/uapi/linux/limits.h. */
    private static final int LARGEST_VALUE_BYTES = 64 * 1024;

    private Xattr() {}

    /** Creates or replaces. */
    public static void set(Fd file, String name, byte[] value) throws SyscallException {
        SystemCalls.fsetxattr(file, name, value);
    }

    /** Creates or replaces. */
    public static void set(Path path, String name, byte[] value) throws SyscallException {
        SystemCalls.lsetxattr(path, name, value);
    }

    /** Null if the file has no such attribute; EOPNOTSUPP if its filesystem has none at all. */
    public static byte @Nullable [] get(Path path, String name) throws SyscallException {
        return SystemCalls.lgetxattr(path, name, LARGEST_VALUE_BYTES);
    }

    /** ENODATA if the file has no such attribute. */
    public static void remove(Path path, String name) throws SyscallException {
        SystemCalls.lremovexattr(path, name);
    }
}
