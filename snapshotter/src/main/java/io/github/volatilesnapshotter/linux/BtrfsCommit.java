package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * How data and metadata of a btrfs reach the disk without all the rest of it. Each call blocks until it is done or failed: on a hung device
 * for ever.
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
    private static final long FIRST_PAUSE_MILLIS = 10;

    /** With pauses that double: the last one after 40 s, when the filesystem has begun by itself. */
    private static final int MOST_CALLS = 12;

    private static final ThreadFactory THREADS =
            Thread.ofPlatform().name("btrfs-commit-", 0).daemon().factory();

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
     * <p>BTRFS_IOC_START_SYNC wakes the filesystem's thread that commits, and waits until it has begun. A thread that is at the end of the
     * commit before misses the call, and begins with its next turn, 30 s later (seen with commits in quick succession, 6.18;
     * btrfs_commit_transaction_async, transaction_kthread). So it is woken again and again while this waits, each time from another thread,
     * since each may be held in the same way. Once it has begun that makes no further commit.
     *
     * @param directory of the filesystem
     */
    public static void commit(Path directory) throws SyscallException {
        FutureTask<Optional<SyscallException>> sync = new FutureTask<>(() -> startAndWait(directory));
        THREADS.newThread(sync).start();
        long pauseMillis = FIRST_PAUSE_MILLIS;
        for (int calls = 0; ; calls++) {
            try {
                Optional<SyscallException> failure =
                        calls < MOST_CALLS ? sync.get(pauseMillis, TimeUnit.MILLISECONDS) : sync.get();
                if (failure.isPresent()) {
                    throw failure.get();
                }
                return;
            } catch (TimeoutException _) {
                THREADS.newThread(() -> wake(directory)).start();
                pauseMillis *= 2;
            } catch (ExecutionException e) {
                throw new IllegalStateException("committing " + directory, e.getCause());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new SyscallException("BTRFS_IOC_WAIT_SYNC", directory.toString(), Errno.EINTR, null);
            }
        }
    }

    private static Optional<SyscallException> startAndWait(Path directory) {
        try (Fd file = Fd.openDirectory(directory)) {
            waitSync(file, startSync(file));
            return Optional.empty();
        } catch (SyscallException e) {
            return Optional.of(e);
        }
    }

    private static void wake(Path directory) {
        try (Fd file = Fd.openDirectory(directory)) {
            long _ = startSync(file);
        } catch (SyscallException _) {
            // Whoever waits for the commit is told.
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

    private static void waitSync(Fd anyFile, long transactionId) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment transaction = frame.allocate(Long.BYTES);
            transaction.set(JAVA_LONG, 0, transactionId);
            ioctl(frame, anyFile, WAIT_SYNC, "BTRFS_IOC_WAIT_SYNC", transaction);
        }
    }

    private static void ioctl(CallFrame frame, Fd file, long request, String name, MemorySegment argument)
            throws SyscallException {
        int number = file.number();
        long result = frame.uninterrupted(callState -> LibC.ioctl(callState, number, request, argument));
        frame.check(result, name, file);
    }
}
