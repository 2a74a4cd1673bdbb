package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * Has those regular files of a directory tree written back that were changed lately, a bounded number of steps at a time: a stat for
 * each entry, and an open for each changed file. A look goes on where the one before has ended: what was seen by that one costs nothing
 * but an open for each directory above. Between two looks nothing is held open. Not thread-safe.
 */
public final class ChangedFiles {
    private final Path root;
    /** Where the last look has ended; null at the begin of the tree. */
    private TreeWalk.@Nullable Place place;

    public ChangedFiles(Path root) {
        this.root = root;
    }

    /**
     * What one look did.
     *
     * @param entries that were seen
     * @param isWhole it ended at the end of the tree: the next one begins anew
     * @param files that were changed, and whose writeback was begun
     * @param bytes their sizes
     */
    public record Look(long entries, boolean isWhole, long files, long bytes) {}

    /** Whether the next look begins at the begin of the tree. */
    public boolean isAtBegin() {
        return place == null;
    }

    /**
     * Begins to write back what was changed and waits for none of it, but for room in the device's queue. What is not found because
     * directories are moved meanwhile is left to whoever syncs the tree. Goes on by one step at least, and begins anew after a failure.
     *
     * @param sinceNanos files whose ctime is older are left alone; nanoseconds since 1970
     * @param mostEntries after which the look ends
     * @param deadlineNanos as {@link System#nanoTime}, after which it ends too
     */
    public Look startWriteback(long sinceNanos, long mostEntries, long deadlineNanos) throws SyscallException {
        TreeWalk.Place from = place;
        place = null;
        Visit visit = new Visit(sinceNanos);
        try (DetachedView view = DetachedView.of(root)) {
            place = TreeWalk.walkOn(
                    view.directory(),
                    from,
                    visit,
                    () -> visit.entries >= mostEntries || System.nanoTime() - deadlineNanos > 0);
        }
        return new Look(visit.entries, place == null, visit.files, visit.bytes);
    }

    private static final class Visit implements TreeWalk.Visitor {
        private final long sinceNanos;
        private long entries;
        private long files;
        private long bytes;

        Visit(long sinceNanos) {
            this.sinceNanos = sinceNanos;
        }

        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            entries++;
            if (entry.mayBeRegularFile()) {
                lookAt(directory, entry.name());
            }
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
