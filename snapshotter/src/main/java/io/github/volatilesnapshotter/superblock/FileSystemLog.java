package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.BtrfsCommit;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.file.Path;

/**
 * The log of a filesystem through which all its metadata reaches the disk in one go, so that a part of its content can be made durable
 * without the rest: first the content of the part ({@link #awaitContent} of each file), then one commit of the log, which has all that
 * was done to metadata before, the blocks and sizes of that content included.
 */
public enum FileSystemLog {
    /** ext4's journal, xfs' log: an fsync of a file made after all the rest commits all of it. */
    COMMITTED_BY_FSYNC {
        @Override
        public void awaitContent(Fd file) throws SyscallException {
            Sync.awaitWriteback(file);
        }

        @Override
        public void commit(Path directory) {
            // The caller makes a file, and an fsync of it does it.
        }
    },

    /** btrfs' transaction. An fsync there writes one file to a log of its own. */
    BTRFS_TRANSACTION {
        @Override
        public void awaitContent(Fd file) throws SyscallException {
            BtrfsCommit.awaitContent(file);
        }

        @Override
        public void commit(Path directory) throws SyscallException {
            BtrfsCommit.commit(directory);
        }
    };

    /**
     * Returns after the file's content is on the device, whose cache is not flushed, and what is to be logged about it is in the log that
     * is not committed yet.
     */
    public abstract void awaitContent(Fd file) throws SyscallException;

    /**
     * Returns after all that is in the log is on disk; or at once where the caller's fsync of a file that is made later does that.
     *
     * @param directory on the filesystem
     */
    public abstract void commit(Path directory) throws SyscallException;

    /** Whether a superblock has such a log. */
    public sealed interface Finding {
        /** It has. */
        record Found(FileSystemLog log) implements Finding {}

        /**
         * It has not, or it is not known.
         *
         * @param reason for people, a clause about the filesystem
         */
        record Missing(String reason) implements Finding {}
    }
}
