package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;

/**
 * How data and metadata of a btrfs reach the disk without all the rest of it. Any file of the filesystem will do, but for
 * {@link #awaitContent}. Each call blocks until it is done or failed: on a hung device for ever.
 */
public final class BtrfsCommit {
    /** {@code _IOR(0x94, 57, struct btrfs_ioctl_feature_flags)} of include/uapi/linux/btrfs.h. */
    private static final long GET_FEATURES = 0x80189439L;

    /** {@code _IOW(0x94, 57, struct btrfs_ioctl_feature_flags[2])}: which features are to be changed, and to what. */
    private static final long SET_FEATURES = 0x40309439L;

    private static final int FEATURE_FLAGS_BYTES = 24;
    private static final int INCOMPAT_FLAGS_OFFSET = 16;

    /** Longer lists of hard links; every file system since btrfs-progs 3.12 has it, and it can't be switched off. */
    private static final long FEATURE_INCOMPAT_EXTENDED_IREF = 1 << 6;

    /** {@code _IOWR('f', 11, struct fiemap)} of include/uapi/linux/fs.h; the struct is that of fiemap.h, without extents. */
    private static final long FIEMAP = 0xc020660bL;

    private static final int FIEMAP_BYTES = 32;
    private static final int FIEMAP_LENGTH_OFFSET = 8;
    private static final int FIEMAP_FLAGS_OFFSET = 16;
    private static final int FIEMAP_FLAG_SYNC = 1;

    private BtrfsCommit() {}

    /**
     * Returns after the file's content is on the device and the trees of the running transaction say where. A wait for pages is not
     * enough: btrfs ends their writeback first, and notes extents and size later on another thread; and with compression the writeback
     * itself begins later. FIEMAP_FLAG_SYNC waits for the ordered extents since 6.1 (btrfs_fiemap, btrfs_wait_ordered_range).
     */
    public static void awaitContent(Fd file) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment request = frame.allocate(FIEMAP_BYTES);
            // One byte is mapped: what is synced is always the whole file.
            request.set(JAVA_LONG, FIEMAP_LENGTH_OFFSET, 1);
            request.set(JAVA_INT, FIEMAP_FLAGS_OFFSET, FIEMAP_FLAG_SYNC);
            ioctl(frame, file, FIEMAP, "FS_IOC_FIEMAP", request);
        }
    }

    /** Whether {@link #commit} can be asked for. Does not wait for the disk. */
    public static boolean canCommit(Fd anyFile) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment features = frame.allocate(FEATURE_FLAGS_BYTES);
            ioctl(frame, anyFile, GET_FEATURES, "BTRFS_IOC_GET_FEATURES", features);
            return (features.get(JAVA_LONG, INCOMPAT_FLAGS_OFFSET) & FEATURE_INCOMPAT_EXTENDED_IREF) != 0;
        }
    }

    /**
     * Returns after the transaction that is running now is on disk, device flushed; content that is dirty stays so, unless the
     * filesystem is mounted with flushoncommit. Every call that changes features ends with the commit of a transaction, made by the
     * caller itself (btrfs_ioctl_set_features); this one switches on what is on, so nothing else comes of it.
     *
     * <p>BTRFS_IOC_START_SYNC is made for this, and is not used: it leaves the commit to a kernel thread (transaction_kthread), whose
     * wakeup is lost if it comes between the end of that thread's last commit and its sleep. Then the caller sleeps until the next one,
     * for up to 30 s: 2 of some 1,300 Commits under load on two processors, Linux 6.18.
     */
    public static void commit(Fd anyFile) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment maskAndFlags = frame.allocate(2 * FEATURE_FLAGS_BYTES);
            maskAndFlags.set(JAVA_LONG, INCOMPAT_FLAGS_OFFSET, FEATURE_INCOMPAT_EXTENDED_IREF);
            maskAndFlags.set(JAVA_LONG, FEATURE_FLAGS_BYTES + INCOMPAT_FLAGS_OFFSET, FEATURE_INCOMPAT_EXTENDED_IREF);
            ioctl(frame, anyFile, SET_FEATURES, "BTRFS_IOC_SET_FEATURES", maskAndFlags);
        }
    }

    private static void ioctl(CallFrame frame, Fd file, long request, String name, MemorySegment argument)
            throws SyscallException {
        int number = file.number();
        long result = frame.uninterrupted(callState -> LibC.ioctl(callState, number, request, argument));
        frame.check(result, name, file);
    }
}
