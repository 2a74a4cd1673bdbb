package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;

/** Blocks that a file has before anything is written to them, so that a full filesystem takes what is written then. Flushes nothing. */
public final class Preallocation {
    /** FALLOC_FL_KEEP_SIZE of fallocate(2). */
    private static final int KEEP_SIZE = 1;

    private Preallocation() {}

    /**
     * Blocks for the first {@code bytes} of an existing file, which stays as long as it is.
     *
     * @throws SyscallException ENOSPC if there are not so many; EOPNOTSUPP from a filesystem that has no such call
     */
    public static void beyondEnd(Path file, long bytes) throws SyscallException {
        try (Fd opened = Fd.openReadWrite(file)) {
            SystemCalls.fallocate(opened, KEEP_SIZE, bytes);
        }
    }

    /** As {@link #beyondEnd}, of a file that is made with this size, readable by its owner only. */
    public static void asFile(Path file, long bytes) throws SyscallException {
        try (Fd opened = Fd.openReadWrite(file)) {
            SystemCalls.fallocate(opened, 0, bytes);
        }
    }
}
