package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;

/**
 * An open directory of an upper filesystem whose {@code syncfs} reports every writeback error since it was opened, whoever else
 * has consumed it: the kernel keeps the sample {@code f_sb_err} per open file description (5.8, {@code fs/sync.c}).
 *
 * <p>Only a witness that was opened while the superblock had no unseen error tells the truth: otherwise its sample is zero and
 * an error that is older than it would be reported. {@link WatchedSuperblock#openWitness} sees to that.
 */
public final class Witness implements AutoCloseable {
    private final Fd directory;
    private final long epochs;

    Witness(Fd directory, long epochs) {
        this.directory = directory;
        this.epochs = epochs;
    }

    /** {@link WatchedSuperblock#epochs} when the witness was opened, at the latest. */
    public long epochs() {
        return epochs;
    }

    /**
     * Returns after everything that was dirty on the filesystem before the call is on disk and the device was flushed. Blocks for
     * as long as that takes.
     *
     * @throws SyscallException if this writeback failed, or any since the witness was opened; the error is consumed by this call
     */
    public void sync() throws SyscallException {
        Sync.syncfs(directory);
    }

    @Override
    public void close() {
        directory.close();
    }
}
