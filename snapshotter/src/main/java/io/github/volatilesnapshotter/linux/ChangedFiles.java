package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import java.util.concurrent.CancellationException;

/**
 * Has those regular files of a directory tree written back that were changed lately, a bounded number of entries at a time: a stat for
 * each entry, and an open for each changed file.
 */
public final class ChangedFiles {
    private ChangedFiles() {}

    /**
     * What one look did.
     *
     * @param entries from the begin of the tree to where the look ended
     * @param isWhole it ended at the end of the tree
     * @param files that were changed, and whose writeback was begun
     * @param bytes their sizes
     */
    public record Look(long entries, boolean isWhole, long files, long bytes) {}

    /**
     * Begins to write back what was changed and waits for none of it, but for room in the device's queue. What is not found because the
     * tree changes meanwhile is found by a later look.
     *
     * @param sinceNanos files whose ctime is older are left alone; nanoseconds since 1970
     * @param skip entries at the begin of the tree that an earlier look has seen
     * @param mostEntries after which the look ends
     * @param deadlineNanos as {@link System#nanoTime}, after which it ends too
     */
    public static Look startWriteback(Path root, long sinceNanos, long skip, long mostEntries, long deadlineNanos)
            throws SyscallException {
        Visit visit = new Visit(sinceNanos, skip, skip + mostEntries, deadlineNanos);
        try (DetachedView view = DetachedView.of(root)) {
            TreeWalk.walk(view.directory(), visit);
            return visit.look(true);
        } catch (CancellationException _) {
            return visit.look(false);
        }
    }

    /** Ends by a CancellationException at its bounds. */
    private static final class Visit implements TreeWalk.Visitor {
        private final long sinceNanos;
        private final long skip;
        private final long end;
        private final long deadlineNanos;
        private long entries;
        private long files;
        private long bytes;

        Visit(long sinceNanos, long skip, long end, long deadlineNanos) {
            this.sinceNanos = sinceNanos;
            this.skip = skip;
            this.end = end;
            this.deadlineNanos = deadlineNanos;
        }

        Look look(boolean isWhole) {
            return new Look(entries, isWhole, files, bytes);
        }

        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            if (entries >= skip) {
                if (entries >= end || System.nanoTime() - deadlineNanos > 0) {
                    throw new CancellationException("enough for now");
                }
                if (entry.mayBeRegularFile()) {
                    lookAt(directory, entry.name());
                }
            }
            entries++;
            return entry.mayBeDirectory();
        }

        private void lookAt(Fd directory, CString name) throws SyscallException {
            try {
                Stat stat = SystemCalls.statx(directory, name);
                if (stat.isRegularFile() && stat.sizeBytes() > 0 && stat.changedNanos() >= sinceNanos) {
                    try (Fd file = SystemCalls.openat(directory, name, RegularFiles.OPEN_FLAGS)) {
                        Sync.startWriteback(file);
                    }
                    files++;
                    bytes += stat.sizeBytes();
                }
            } catch (SyscallException failure) {
                if (!isGone(failure.errno())) {
                    throw failure;
                }
            }
        }

        /** Something else has taken its place, or nothing. */
        private static boolean isGone(Errno errno) {
            return errno.is(Errno.ENOENT) || errno.is(Errno.ELOOP) || errno.is(Errno.ENXIO) || errno.is(Errno.EACCES);
        }

        @Override
        public void otherMount(CString name) {
            // The view shows none.
        }

        @Override
        public void leave(Fd parent, CString name) {
            // A directory has no content of its own.
        }
    }
}
