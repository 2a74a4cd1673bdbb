package io.github.volatilesnapshotter.linux;

import java.util.Optional;

/** Data to disk. Each blocks until it is done or failed, without a bound: on a hung device for ever. */
public final class Sync {
    // Flags of sync_file_range(2).
    private static final int WAIT_BEFORE = 1;
    private static final int WRITE = 2;
    private static final int WAIT_AFTER = 4;

    private Sync() {}

    /**
     * Returns after the file's data and metadata are on disk. On a directory of a volatile overlay it writes nothing, and
     * fails with the latest errno if its upper's superblock has had an error since the mount (ovl_sync_status).
     */
    public static void fsync(Fd file) throws SyscallException {
        SystemCalls.fsync(file);
    }

    /** As fsync, for a thousand files in a row: an error is no exception, which costs five times as much as the call. */
    public static Optional<Errno> fsyncError(Fd file) {
        return SystemCalls.fsyncError(file);
    }

    /** As fsync, without the metadata that reading the data back does not need. */
    public static void fdatasync(Fd file) throws SyscallException {
        SystemCalls.fdatasync(file);
    }

    /**
     * Returns after everything that was dirty on the file's filesystem is on disk, and fails if the superblock has had a
     * writeback error since this descriptor was opened (Linux 5.8), once per error. It also marks an error as seen, for
     * descriptors and overlay mounts to come.
     */
    public static void syncfs(Fd file) throws SyscallException {
        SystemCalls.syncfs(file);
    }

    /**
     * Has what is dirty of the file's content written back, and allocated where that was put off; waits for none of it, but for room in
     * the device's queue. It may leave out a page that is locked now.
     */
    public static void startWriteback(Fd file) throws SyscallException {
        SystemCalls.syncFileRange(file, WRITE);
    }

    /**
     * Returns after the file's content is written to the device, whose cache is not flushed, and the filesystem has noted in memory
     * where it lies: ext4 and xfs do that before they end a page's writeback, btrfs may do it later. Nothing of the file's metadata is
     * on disk. Fails if a writeback of this file failed that its descriptors were not told of yet; that of the superblock stays as it
     * is.
     */
    public static void awaitWriteback(Fd file) throws SyscallException {
        SystemCalls.syncFileRange(file, WAIT_BEFORE | WRITE | WAIT_AFTER);
    }
}
