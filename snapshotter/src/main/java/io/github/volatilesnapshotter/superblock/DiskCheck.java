package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.file.Path;
import java.util.Random;

/**
 * Whether the disk stores data again, asked before anything is cleared: while it does not, a {@code syncfs} would only lose more, and the
 * new directories of a sentinel, which a journal then can't write, would turn a passing error into a lasting one.
 *
 * <p>Appends to a file of ours, so that blocks are needed which were free, and syncs it. An {@code fsync} does not mark the superblock's error as seen.
 * Takes as long as the disk; never returns on one that hangs.
 */
public final class DiskCheck {
    /** More than a filesystem keeps inside an inode (btrfs: 2 KiB). */
    private static final int BYTES = 16 * 1024;

    private static final int LARGEST_FILE_BYTES = 4 * 1024 * 1024;

    private final Path file;
    private int writtenBytes;
    private final Random random = new Random();

    DiskCheck(Path pool) {
        this.file = in(pool);
    }

    /** The file, which is lost again and again while a disk fails, and belongs to nobody. */
    public static Path in(Path pool) {
        return pool.resolve("disk-check");
    }

    /** Makes the file while the disk is well, so that no directory needs a new block later. */
    void prepare() throws SyscallException {
        Fd.openEmptied(file).close();
    }

    /** @throws SyscallException if the disk does not store what is written; a full filesystem is no failure */
    void run() throws SyscallException {
        // Zeros, or the same bytes again, might be stored nowhere.
        byte[] content = new byte[BYTES];
        random.nextBytes(content);
        boolean isLarge = writtenBytes >= LARGEST_FILE_BYTES;
        try (Fd end = isLarge ? Fd.openEmptied(file) : Fd.openAppend(file)) {
            writtenBytes = isLarge ? BYTES : writtenBytes + BYTES;
            end.write(content);
            Sync.fsync(end);
        } catch (SyscallException e) {
            boolean isFull = e.operation().equals("write") && e.errno().isNoRoom();
            if (!isFull) {
                throw e;
            }
        }
    }
}
