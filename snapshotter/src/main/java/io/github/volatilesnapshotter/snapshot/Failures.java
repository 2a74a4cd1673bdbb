package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.Poison;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import java.util.Set;

/** What a client is told when the machine fails: the one place that turns errno and result codes into categories. */
final class Failures {
    /** The machine's trouble, not ours: the same call may succeed when it has passed. */
    private static final Set<Errno> PASSING = Set.of(
            Errno.ENOSPC,
            Errno.EDQUOT,
            Errno.EROFS,
            Errno.EIO,
            Errno.EMFILE,
            Errno.ENFILE,
            Errno.ENOMEM,
            Errno.EAGAIN,
            Errno.EINTR);

    /** The superblock's state says that something was lost, by whatever call. */
    static final String WRITEBACK = "writeback";

    /** Calls that write back; what they report was written before and is lost. */
    private static final Set<String> WRITE_BACK = Set.of(
            "syncfs",
            "fsync",
            "sync_file_range",
            "FS_IOC_FIEMAP",
            "BTRFS_IOC_START_SYNC",
            "BTRFS_IOC_WAIT_SYNC",
            WRITEBACK);

    /** A filesystem that answers so has stopped writing: its journal was aborted, or it was shut down. */
    private static final Set<Errno> STOPPED = Set.of(Errno.EIO, Errno.EROFS);

    private Failures() {}

    static SnapshotException of(String key, SyscallException failure) {
        Category category = PASSING.contains(failure.errno()) ? Category.UNAVAILABLE : Category.INTERNAL;
        return new SnapshotException(category, "snapshot " + key + ": " + failure.getMessage(), failure);
    }

    /** Whether the failure of a step on the way to disk says that data was lost, and not only that the step can't be done now. */
    static boolean meansLostWrite(SyscallException failure) {
        return WRITE_BACK.contains(failure.operation()) || STOPPED.contains(failure.errno());
    }

    static SnapshotException of(String key, SuperblockUnavailableException failure) {
        return new SnapshotException(Category.UNAVAILABLE, "snapshot " + key + ": " + failure.getMessage(), failure);
    }

    static SnapshotException of(String key, MetadataException failure) {
        Category category = switch (failure.reason()) {
            case DISK_FULL, BUSY, FAILED, REFUSED -> Category.UNAVAILABLE;
            case UNUSABLE_FILE -> Category.INTERNAL;
        };
        // SQLite says it in words of its own.
        String errno = failure.isDiskFull() ? " (" + Errno.ENOSPC.name() + ": no room for the records)" : "";
        return new SnapshotException(category, "snapshot " + key + ": " + failure.getMessage() + errno, failure);
    }

    /**
     * Not UNAVAILABLE: containerd's garbage collection would end at the first snapshot that is refused so, and never come to those whose removal
     * makes room (core/metadata/snapshot.go, pruneBranch).
     */
    static SnapshotException noRoomToRemove(String key, MetadataException failure) {
        return new SnapshotException(
                Category.FAILED_PRECONDITION,
                "cannot remove snapshot " + key + " before there is some room on its filesystem (ENOSPC): "
                        + failure.getMessage(),
                failure);
    }

    static SnapshotException notFound(String key) {
        return new SnapshotException(Category.NOT_FOUND, "snapshot " + key + " does not exist");
    }

    static SnapshotException poisoned(String key, Poison poison) {
        String errno = poison.errno().isEmpty() ? "" : " (" + poison.errno() + ")";
        return new SnapshotException(
                Category.FAILED_PRECONDITION,
                "snapshot " + key + " is poisoned: " + poison.reason() + errno + " on " + poison.device() + " at "
                        + poison.at()
                        + (poison.files().isEmpty() ? "" : "; lost a write: " + String.join("; ", poison.files())));
    }
}
