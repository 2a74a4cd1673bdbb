package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Has those regular files of a directory tree written back that were changed lately, a bounded number of steps at a time. A look goes on where
 * the one before has ended: what was seen by that one costs nothing but an open for each directory above. Between two looks nothing is
 * held open. Not thread-safe.
 *
 * <p>Who unpacks makes each file once, and goes on to the next. So a quick look passes over the files of a directory in which nothing was
 * made or renamed lately, and no file found changed by the last look through the tree: it takes some microseconds for each directory, and
 * a stat for each file that lies beside a changed one. A full look takes a stat for each file.
 */
public final class ChangedFiles {
    /** Of those beyond it, and what happens in them, only full looks know: some 200 KB of memory. */
    private static final int MOST_BUSY_DIRECTORIES = 4_096;

    private final Path root;
    /** Where the last look has ended; null at the begin of the tree. */
    private TreeWalk.@Nullable Place place;

    /** Directories, by inode, in which the last look through the whole tree has found changed files, and the present one. */
    private Set<Long> busyBefore = Set.of();

    private Set<Long> busy = new HashSet<>();

    public ChangedFiles(Path root) {
        this.root = root;
    }

    /**
     * What is looked for.
     *
     * @param sinceNanos files whose ctime is older are left alone; nanoseconds since 1970
     * @param isFull whether nothing is passed over
     */
    public record Search(long sinceNanos, boolean isFull) {}

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
     * Begins to write back what was changed and waits for none of it, but for room in the device's queue. What is not found, because it is passed
     * over or directories are moved meanwhile, is left to whoever syncs the tree. Goes on by one step at least, and begins anew after a
     * failure.
     *
     * @param search the same from the begin of the tree to its end
     * @param mostEntries after which the look ends
     * @param deadlineNanos as {@link System#nanoTime}, after which it ends too
     */
    public Look startWriteback(Search search, long mostEntries, long deadlineNanos) throws SyscallException {
        TreeWalk.Place from = place;
        place = null;
        Visit visit = new Visit(search);
        try (DetachedView view = DetachedView.of(root)) {
            place = TreeWalk.walkOn(
                    view.directory(),
                    from,
                    visit,
                    () -> visit.entries >= mostEntries || System.nanoTime() - deadlineNanos > 0);
        }
        if (place == null) {
            busyBefore = busy;
            busy = new HashSet<>();
        }
        return new Look(visit.entries, place == null, visit.files, visit.bytes);
    }

    /** As {@link #startWriteback(Search, long, long)}: one full look through a tree, without a bound. */
    public static void startWriteback(Path root, long sinceNanos) throws SyscallException {
        var _ = new ChangedFiles(root)
                .startWriteback(new Search(sinceNanos, true), Long.MAX_VALUE, System.nanoTime() + Long.MAX_VALUE / 2);
    }

    private final class Visit implements TreeWalk.Visitor {
        private final Search search;
        private long entries;
        private long files;
        private long bytes;

        Visit(Search search) {
            this.search = search;
        }

        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            entries++;
            if (entry.mayBeRegularFile() && mayHaveChangedFiles(entry.directory())) {
                lookAt(directory, entry);
            }
            return entry.mayBeDirectory();
        }

        private boolean mayHaveChangedFiles(Stat directory) {
            return search.isFull()
                    || directory.changedNanos() >= search.sinceNanos()
                    || busyBefore.contains(directory.inode());
        }

        private void lookAt(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            CString name = entry.name();
            try {
                Stat stat = SystemCalls.statx(directory, name);
                if (!stat.isRegularFile() || stat.changedNanos() < search.sinceNanos()) {
                    return;
                }
                if (busy.size() < MOST_BUSY_DIRECTORIES) {
                    // Also for one that is still empty.
                    busy.add(entry.directory().inode());
                }
                if (stat.sizeBytes() > 0) {
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
