package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.BootId;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.FileSystemInstance;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.TransactionNote;
import java.nio.file.Path;

/**
 * Every path below the root.
 *
 * <pre>
 * lock                                who serves this root
 * metadata.db                         the records
 * empty/                              the lower of snapshots without parent
 * sentinel/{upper,work}               see the room superblock
 * snapshots/&lt;id&gt;/{fs,work,merged}     one snapshot; a committed one has fs and the file committed, one that becomes
 *                                     it may have the files times and committed.new
 * trash/                              what is still to be deleted
 * recovery/                           reports of the last starts
 * </pre>
 */
record Layout(Path root) {
    /** Beside the upper. */
    static final String MERGED = "merged";

    Path lock() {
        return root.resolve("lock");
    }

    Path database() {
        return root.resolve("metadata.db");
    }

    Path empty() {
        return root.resolve("empty");
    }

    Path snapshots() {
        return root.resolve("snapshots");
    }

    Path trash() {
        return root.resolve("trash");
    }

    Path recovery() {
        return root.resolve("recovery");
    }

    Path snapshot(long id) {
        return snapshots().resolve(Long.toString(id));
    }

    Path upper(long id) {
        return snapshot(id).resolve("fs");
    }

    Path work(long id) {
        return snapshot(id).resolve("work");
    }

    /** Where a volatile snapshot's overlay is mounted. */
    Path merged(long id) {
        return snapshot(id).resolve(MERGED);
    }

    /** Written last into a layer, when all of it is on disk. */
    Path committedMark(long id) {
        return snapshot(id).resolve("committed");
    }

    /** While whiteouts are removed from what becomes a layer: the times of their directories. */
    Path notedTimes(long id) {
        return snapshot(id).resolve("times");
    }

    /** In the runtime directory, not below the root: which transaction of the records was the last one. */
    static Path transactionNote(Path state) {
        return state.resolve("last-transaction");
    }

    /** In which nothing that was written below the root is lost by itself: until its filesystem is unmounted or the machine starts anew. */
    TransactionNote.Period period() throws SyscallException {
        return new TransactionNote.Period(BootId.current(), FileSystemInstance.of(MountInfo.containing(root)));
    }

    void create() throws SyscallException {
        // 0711: containers with a user namespace must be able to walk down to their own merged directory.
        Entries.createDirectories(root, 0711);
        Entries.createDirectories(empty(), 0755);
        Entries.createDirectories(snapshots(), 0711);
        Entries.createDirectories(trash(), 0700);
    }
}
