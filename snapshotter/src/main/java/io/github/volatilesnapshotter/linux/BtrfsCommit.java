package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * How data and metadata of a btrfs reach the disk without all the rest of it. Any file of the filesystem will do, but for
 * {@link #awaitContent}. Each call blocks until it is done or failed: on a hung device for ever.
 */
public final class BtrfsCommit {
    /** {@code _IOR(0x94, 24, __u64)} of include/uapi/linux/btrfs.h. */
    private static final long START_SYNC = 0x80089418L;

    /** {@code _IOW(0x94, 22, __u64)}. */
    private static final long WAIT_SYNC = 0x40089416L;

    /** {@code _IOWR('f', 11, struct fiemap)} of include/uapi/linux/fs.h; the struct is that of fiemap.h, without extents. */
    private static final long FIEMAP = 0xc020660bL;

    private static final int FIEMAP_BYTES = 32;
    private static final int FIEMAP_LENGTH_OFFSET = 8;
    private static final int FIEMAP_FLAGS_OFFSET = 16;
    private static final int FIEMAP_FLAG_SYNC = 1;

    /** Longer than most commits on a fast disk, and little for one that waits. */
    private static final long WAKE_INTERVAL_MILLIS = 10;

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

    /**
     * Returns after the transaction that is running now is on disk, device flushed; content that is dirty stays so, unless the
     * filesystem is mounted with flushoncommit.
     *
     * <p>BTRFS_IOC_START_SYNC wakes the filesystem's thread that commits, and one that is at the end of the commit before misses that: it
     * would begin with its next turn, after 30 s (seen with commits in quick succession, 6.18). So it is woken again while the
     * commit is waited for, on a thread of its own.
     */
    public static void commit(Fd anyFile) throws SyscallException {
        long transaction = startSync(anyFile);
        FutureTask<Optional<SyscallException>> wait = new FutureTask<>(() -> waitSync(anyFile, transaction));
        Thread.ofPlatform().name("btrfs-commit-wait").daemon().start(wait);
        while (true) {
            try {
                Optional<SyscallException> failure = wait.get(WAKE_INTERVAL_MILLIS, TimeUnit.MILLISECONDS);
                if (failure.isPresent()) {
                    throw failure.get();
                }
                return;
            } catch (TimeoutException _) {
                // One that has begun lets this wait for its end and commits nothing more.
                long _ = startSync(anyFile);
            } catch (ExecutionException e) {
                throw new IllegalStateException("waiting for transaction " + transaction, e.getCause());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new SyscallException("BTRFS_IOC_WAIT_SYNC", anyFile.toString(), Errno.EINTR, null);
            }
        }
    }

    /** The transaction whose commit was asked for, or the last one if none is running. */
    private static long startSync(Fd anyFile) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment transaction = frame.allocate(Long.BYTES);
            ioctl(frame, anyFile, START_SYNC, "BTRFS_IOC_START_SYNC", transaction);
            return transaction.get(JAVA_LONG, 0);
        }
    }

    private static Optional<SyscallException> waitSync(Fd anyFile, long transactionId) {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment transaction = frame.allocate(Long.BYTES);
            transaction.set(JAVA_LONG, 0, transactionId);
            ioctl(frame, anyFile, WAIT_SYNC, "BTRFS_IOC_WAIT_SYNC", transaction);
            return Optional.empty();
        } catch (SyscallException e) {
            return Optional.of(e);
        }
    }

    private static void ioctl(CallFrame frame, Fd file, long request, String name, MemorySegment argument)
            throws SyscallException {
        int number = file.number();
        long result = frame.uninterrupted(callState -> LibC.ioctl(callState, number, request, argument));
        frame.check(result, name, file);
    }
}
