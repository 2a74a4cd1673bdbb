package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CancellationException;
import java.util.function.BooleanSupplier;

/** A directory with everything below it, on one mount. Symbolic links are never followed; names may be any bytes. */
public final class DirectoryTree {
    /** What was overlooked because the tree changed meanwhile, or because the filesystem's order did, the next pass finds. */
    private static final int MOST_DELETION_PASSES = 3;

    private DirectoryTree() {}

    /**
     * Counts as containerd does. What vanishes meanwhile is left out, so that of a tree in use this is an estimate. Other
     * mounts below the root are not entered. Memory is bounded: beyond {@value InodeSet#MOST} files that have several names each name counts
     * for its part of the file, which is the same if all of its names are in the tree.
     *
     * @param cancelled asked before each entry
     * @throws CancellationException once it says so
     */
    public static TreeUsage usage(Path root, BooleanSupplier cancelled) throws SyscallException {
        try (Fd directory =
                SystemCalls.open(root, OpenFlags.READ_ONLY | OpenFlags.DIRECTORY | OpenFlags.NO_FOLLOW, 0)) {
            UsageCount count = new UsageCount(cancelled);
            count.add(Stat.of(directory));
            TreeWalk.walk(directory, count);
            return count.result();
        }
    }

    /**
     * Looks for inodes by the numbers that the directories give, without asking the inodes themselves; about 1 us for each entry
     * in the cache. What is found last stays unfound if the search is cancelled before. Other mounts below the root are not
     * entered.
     *
     * @param cancelled asked before each entry
     * @return absolute paths of those that were found, one for each inode; for people: bytes that are not
     *     UTF-8 are shown as U+FFFD
     */
    public static Map<Long, String> find(Path root, Set<Long> inodes, BooleanSupplier cancelled)
            throws SyscallException {
        try (Fd directory =
                SystemCalls.open(root, OpenFlags.READ_ONLY | OpenFlags.DIRECTORY | OpenFlags.NO_FOLLOW, 0)) {
            Search search = new Search(inodes, cancelled);
            long rootInode = Stat.of(directory).inode();
            if (inodes.contains(rootInode)) {
                search.found.put(rootInode, root.toAbsolutePath().toString());
            }
            try {
                TreeWalk.walk(directory, search);
            } catch (CancellationException _) {
                // What was found until then is good.
            }
            return search.found;
        }
    }

    /**
     * Whether the filesystem says of each directory entry what it is (d_type), which overlayfs needs of an upper.
     *
     * @param directory holds a directory at least
     */
    public static boolean reportsFileTypes(Path directory) throws SyscallException {
        try (Fd opened = Fd.openDirectory(directory)) {
            TypeCheck check = new TypeCheck();
            TreeWalk.walk(opened, check);
            return check.isTyped;
        }
    }

    /**
     * One name in a directory.
     *
     * @param name for people: bytes that are not UTF-8 are shown as U+FFFD
     * @param isDirectory as the directory says, without a look at the entry itself
     */
    public record Name(String name, boolean isDirectory) {}

    /** What is in a directory, in the filesystem's order; in about 1 us an entry, as no entry is looked at. */
    public static List<Name> names(Path directory) throws SyscallException {
        try (Fd opened = Fd.openDirectory(directory)) {
            Listing listing = new Listing();
            TreeWalk.walk(opened, listing);
            return listing.names;
        }
    }

    /**
     * Deletes the root and everything below it; a root that is missing is fine, one that is not a directory is unlinked.
     * Stops at the first failure, and may be called again for the rest. A mount at the root or below it gives EBUSY before
     * anything on it is touched; files that are immutable or append-only are made not to be. Nothing is durable before a sync.
     */
    public static void delete(Path root) throws SyscallException {
        try {
            if (Stat.of(root).isDirectory()) {
                requireNotMounted(root);
                deleteDirectory(root);
            } else {
                Entries.unlink(root);
            }
        } catch (SyscallException failure) {
            if (!failure.errno().is(Errno.ENOENT)) {
                throw failure;
            }
        }
    }

    private static void requireNotMounted(Path root) throws SyscallException {
        Path parent = root.toAbsolutePath().getParent();
        if (parent == null || Stat.of(parent).mountId() != Stat.of(root).mountId()) {
            throw new SyscallException("rmdir", root.toString(), Errno.EBUSY, "it is a mount point");
        }
    }

    private static void deleteDirectory(Path root) throws SyscallException {
        for (int pass = 1; ; pass++) {
            try (Fd directory =
                    SystemCalls.open(root, OpenFlags.READ_ONLY | OpenFlags.DIRECTORY | OpenFlags.NO_FOLLOW, 0)) {
                TreeWalk.walk(directory, new Deletion());
            }
            try {
                Entries.rmdir(root);
                return;
            } catch (SyscallException failure) {
                boolean isLeft = failure.errno().is(Errno.ENOTEMPTY)
                        || (failure.errno().is(Errno.EPERM) && InodeFlags.unprotect(root));
                if (!isLeft || pass == MOST_DELETION_PASSES) {
                    throw failure;
                }
            }
        }
    }

    /** Counts each inode once. */
    private static final class UsageCount implements TreeWalk.Visitor {
        private static final long BLOCK_BYTES = 512;

        private final BooleanSupplier cancelled;
        /** Only of files that have several names: the others cannot be met twice. */
        private final InodeSet counted = new InodeSet();

        private long blocks;
        private long inodes;

        /** Of files that are not in the set, by their names. */
        private double blocksInParts;

        private double inodesInParts;

        UsageCount(BooleanSupplier cancelled) {
            this.cancelled = cancelled;
        }

        void add(Stat stat) {
            boolean hasOtherNames = !stat.isDirectory() && stat.links() > 1;
            InodeSet.Added added = hasOtherNames ? counted.add(stat.device(), stat.inode()) : InodeSet.Added.NEW;
            switch (added) {
                case NEW -> {
                    blocks += stat.blocks512();
                    inodes++;
                }
                case KNOWN -> {
                    // By its first name.
                }
                case NO_ROOM -> {
                    blocksInParts += (double) stat.blocks512() / stat.links();
                    inodesInParts += 1.0 / stat.links();
                }
            }
        }

        TreeUsage result() {
            return new TreeUsage(
                    (blocks + Math.round(blocksInParts)) * BLOCK_BYTES, inodes + Math.round(inodesInParts));
        }

        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            if (cancelled.getAsBoolean()) {
                throw new CancellationException("usage is no longer wanted");
            }
            try {
                Stat stat = SystemCalls.statx(directory, entry.name());
                add(stat);
                return stat.isDirectory();
            } catch (SyscallException failure) {
                if (failure.errno().is(Errno.ENOENT)) {
                    return false;
                }
                throw failure;
            }
        }

        @Override
        public void otherMount(CString name) {
            // Its root was counted as an entry of this mount; what is on it belongs to somebody else.
        }

        @Override
        public void leave(Fd parent, CString name) {
            // Was counted when it was visited.
        }
    }

    /** Looks for a directory that is known as one without a stat; enters none. */
    private static final class TypeCheck implements TreeWalk.Visitor {
        private boolean isTyped;

        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) {
            isTyped |= entry.isSurelyDirectory();
            return false;
        }

        @Override
        public void otherMount(CString name) {
            // Is entered as little as any other.
        }

        @Override
        public void leave(Fd parent, CString name) {
            throw new IllegalStateException(name + " was not entered");
        }
    }

    /** Enters none. */
    private static final class Listing implements TreeWalk.Visitor {
        private final List<Name> names = new ArrayList<>();

        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) {
            names.add(new Name(entry.name().toText(), entry.isSurelyDirectory()));
            return false;
        }

        @Override
        public void otherMount(CString name) {
            // Is entered as little as any other.
        }

        @Override
        public void leave(Fd parent, CString name) {
            throw new IllegalStateException(name + " was not entered");
        }
    }

    /** Ends by a CancellationException. */
    private static final class Search implements TreeWalk.Visitor {
        private final Set<Long> inodes;
        private final BooleanSupplier cancelled;
        private final Map<Long, String> found = new HashMap<>();

        Search(Set<Long> inodes, BooleanSupplier cancelled) {
            this.inodes = inodes;
            this.cancelled = cancelled;
        }

        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            if (found.size() == inodes.size() || cancelled.getAsBoolean()) {
                throw new CancellationException("the search is over");
            }
            if (inodes.contains(entry.inode()) && !found.containsKey(entry.inode())) {
                String parent = SystemCalls.readlink(Path.of("/proc/self/fd/" + directory.number()))
                        .toText();
                found.put(entry.inode(), parent + "/" + entry.name().toText());
            }
            return entry.isSurelyDirectory();
        }

        @Override
        public void otherMount(CString name) {
            // What is on it belongs to another filesystem, or was reached by its own path.
        }

        @Override
        public void leave(Fd parent, CString name) {
            // Was looked at when it was visited.
        }
    }

    /** Unlinks what it meets. */
    private static final class Deletion implements TreeWalk.Visitor {
        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            if (entry.isSurelyDirectory()) {
                return !isRemovedAsEmpty(directory, entry.name());
            }
            try {
                unlink(directory, entry.name(), 0);
                return false;
            } catch (SyscallException failure) {
                if (failure.errno().is(Errno.EISDIR)) {
                    return true;
                }
                if (failure.errno().is(Errno.ENOENT)) {
                    return false;
                }
                throw failure;
            }
        }

        /** EPERM, to root, means that the entry or its directory is immutable or append-only: a container may make its files so. */
        private static void unlink(Fd directory, CString name, int flags) throws SyscallException {
            try {
                SystemCalls.unlinkat(directory, name, flags);
            } catch (SyscallException failure) {
                if (!failure.errno().is(Errno.EPERM)) {
                    throw failure;
                }
                boolean isDirectoryFreed = InodeFlags.unprotect(directory);
                if (!InodeFlags.unprotect(directory, name) && !isDirectoryFreed) {
                    throw failure;
                }
                SystemCalls.unlinkat(directory, name, flags);
            }
        }

        /** Many are empty, and then looking into them is the larger part of the work. */
        private static boolean isRemovedAsEmpty(Fd directory, CString name) {
            try {
                SystemCalls.unlinkat(directory, name, SystemCalls.AT_REMOVE_DIRECTORY);
                return true;
            } catch (SyscallException failure) {
                // Not empty, a mount point, or gone: the walk finds out, and says so.
                return false;
            }
        }

        @Override
        public void otherMount(CString name) throws SyscallException {
            throw new SyscallException("rmdir", name.toString(), Errno.EBUSY, "it is a mount point");
        }

        @Override
        public void leave(Fd parent, CString name) throws SyscallException {
            try {
                unlink(parent, name, SystemCalls.AT_REMOVE_DIRECTORY);
            } catch (SyscallException failure) {
                // Not empty: somebody put something into it; the next pass comes by.
                if (!failure.errno().is(Errno.ENOTEMPTY) && !failure.errno().is(Errno.ENOENT)) {
                    throw failure;
                }
            }
        }
    }
}
