package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Ext4Journal;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.superblock.FileSystemLog.Finding;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Recognises the {@link FileSystemLog} of a mounted filesystem by what the kernel says of it. Only what power cuts have proven counts
 * as one; of anything that the kernel does not say the worse is assumed.
 *
 * <ul>
 *   <li>ext4: with a journal, on the same device (a commit does not flush the cache of another one), in the default mode {@code
 *       data=ordered}, without fast commits, which log the one file and not all the rest. Whether there are fast commits the kernel says
 *       only by counting them, so some are tried.
 *   <li>xfs: log and data on one device.
 *   <li>btrfs: from 6.1 on, see {@code linux.BtrfsCommit}; not with flushoncommit, with which a commit writes everything.
 * </ul>
 */
public final class FileSystemLogs {
    private static final int BTRFS_KERNEL_MAJOR = 6;
    private static final int BTRFS_KERNEL_MINOR = 1;

    private static final String FAST_COMMITS = "it makes fast commits, which leave out what else is in its journal";

    /** One that meets another thread's commit is not counted. */
    private static final int TRIED_COMMITS = 3;

    private FileSystemLogs() {}

    /**
     * Writes and syncs a file of its own in the pool on an ext4, and deletes it: takes as long as the disk.
     *
     * @throws SyscallException if that fails
     */
    public static Finding find(MountInfo mount, Path pool) throws SyscallException {
        return switch (mount.fsType()) {
            case "ext4" -> ofExt4(mount, pool);
            case "xfs" -> ofXfs(mount.superOptions());
            case "btrfs" -> ofBtrfs(mount.superOptions(), KernelRelease.current());
            default -> new Finding.Missing("of " + mount.fsType() + " it is not known how to commit its log");
        };
    }

    private static Finding ofExt4(MountInfo mount, Path pool) throws SyscallException {
        Optional<Ext4Journal> journal = Ext4Journal.of(mount.device());
        if (journal.isEmpty()) {
            return new Finding.Missing("the kernel does not show its journal below /proc/fs/ext4");
        }
        Optional<String> objection = objectionTo(journal.get());
        if (objection.isPresent()) {
            return new Finding.Missing(objection.get());
        }
        return countsFastCommits(mount, pool)
                ? new Finding.Missing(FAST_COMMITS)
                : new Finding.Found(FileSystemLog.COMMITTED_BY_FSYNC);
    }

    static boolean countsFastCommits(MountInfo mount, Path pool) throws SyscallException {
        OptionalLong before = fastCommits(mount);
        commitSome(pool.resolve("log-check"));
        return !fastCommits(mount).equals(before);
    }

    private static OptionalLong fastCommits(MountInfo mount) {
        return Ext4Journal.of(mount.device()).map(Ext4Journal::fastCommits).orElse(OptionalLong.empty());
    }

    static Optional<String> objectionTo(Ext4Journal journal) {
        Optional<String> dataMode = journal.dataMode();
        if (dataMode.isEmpty()) {
            return Optional.of("it has no journal");
        }
        if (!dataMode.get().equals("ordered")) {
            return Optional.of("it is mounted with data=" + dataMode.get());
        }
        if (!journal.isOnItsDevice()) {
            return Optional.of("its journal is on another device");
        }
        if (journal.options().contains("fc_debug_force")) {
            return Optional.of(FAST_COMMITS);
        }
        if (journal.fastCommits().isEmpty()) {
            return Optional.of("the kernel does not say whether it makes fast commits");
        }
        return Optional.empty();
    }

    private static void commitSome(Path file) throws SyscallException {
        try (Fd end = Fd.openEmptied(file)) {
            try {
                for (int commit = 0; commit < TRIED_COMMITS; commit++) {
                    end.write(new byte[] {'\n'});
                    Sync.fsync(end);
                }
            } finally {
                Entries.unlink(file);
            }
        }
    }

    static Finding ofXfs(List<String> superOptions) {
        return superOptions.stream()
                .filter(option -> option.startsWith("logdev=") || option.startsWith("rtdev="))
                .findFirst()
                .<Finding>map(option -> new Finding.Missing("it is mounted with " + option))
                .orElse(new Finding.Found(FileSystemLog.COMMITTED_BY_FSYNC));
    }

    static Finding ofBtrfs(List<String> superOptions, KernelRelease kernel) {
        if (!kernel.atLeast(BTRFS_KERNEL_MAJOR, BTRFS_KERNEL_MINOR)) {
            return new Finding.Missing("on btrfs it takes Linux " + BTRFS_KERNEL_MAJOR + "." + BTRFS_KERNEL_MINOR
                    + ", not " + kernel.text());
        }
        if (superOptions.contains("flushoncommit")) {
            return new Finding.Missing("it is mounted with flushoncommit, with which a commit writes everything");
        }
        return new Finding.Found(FileSystemLog.BTRFS_TRANSACTION);
    }
}
