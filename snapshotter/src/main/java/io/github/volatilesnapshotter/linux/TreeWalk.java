package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * A walk through a directory tree, each directory after everything in it. Everything is reached from the descriptor of its
 * directory and never by path: so a tree deeper than PATH_MAX is no other than a shallow one, and a symbolic link put in
 * place of a directory leads nowhere.
 *
 * <p>Descriptors are bounded: only those of the root and of the {@value #MOST_OPEN} innermost directories are open. An outer
 * one is opened again as the {@code ..} of its child, and only believed if it is the same inode as before; if not, it was
 * moved meanwhile, and the walk goes on at the innermost directory that is still open. Memory is bounded by the depth: a
 * directory's entries are read, and its subdirectories walked, in batches of {@value #BATCH_BYTES} bytes.
 *
 * <p>A walk can stop at any step and go on later: what it holds meanwhile is the names from the root to where it stopped, those of
 * directories still to be entered, and no descriptor.
 */
final class TreeWalk {
    static final int MOST_OPEN = 64;
    private static final int BATCH_BYTES = 32 * 1024;
    /** Of a walk that is held for long, perhaps beside many others: at most some 10 KB of names for each level. */
    private static final int BATCH_BYTES_OF_STEPS = 4 * 1024;

    private static final int OPEN_DIRECTORY = OpenFlags.READ_ONLY | OpenFlags.DIRECTORY | OpenFlags.NO_FOLLOW;

    private final Visitor visitor;
    private final BooleanSupplier isEnough;
    private final MemorySegment batch;
    private final long mountId;
    /** From the root to the directory that the walk is in. */
    private final List<Level> levels;

    private TreeWalk(Visitor visitor, BooleanSupplier isEnough, MemorySegment batch, long mountId, List<Level> levels) {
        this.visitor = visitor;
        this.isEnough = isEnough;
        this.batch = batch;
        this.mountId = mountId;
        this.levels = levels;
    }

    /** Visits everything below the root, which stays open. */
    static void walk(Fd root, Visitor visitor) throws SyscallException {
        var _ = walk(root, null, visitor, () -> false, BATCH_BYTES);
    }

    /**
     * Visits what is left of the tree, one step at a time: an entry is visited, or a directory entered or left. At least one step is made,
     * however little is wanted. Of a directory that was moved or replaced since, what is left is not visited.
     *
     * @param from where an earlier walk through this tree has stopped; null at the beginning
     * @param isEnough asked after each step; the walk stops once it says so
     * @return where it stopped; null at the end of the tree
     */
    static @Nullable Place walkOn(Fd root, @Nullable Place from, Visitor visitor, BooleanSupplier isEnough)
            throws SyscallException {
        return walk(root, from, visitor, isEnough, BATCH_BYTES_OF_STEPS);
    }

    private static @Nullable Place walk(
            Fd root, @Nullable Place from, Visitor visitor, BooleanSupplier isEnough, int batchBytes)
            throws SyscallException {
        try (Arena arena = Arena.ofConfined()) {
            Stat stat = Stat.of(root);
            List<Level> levels = from == null ? new ArrayList<>(List.of(new Level(CString.SELF, stat))) : from.levels;
            TreeWalk walk =
                    new TreeWalk(visitor, isEnough, arena.allocate(batchBytes, Long.BYTES), stat.mountId(), levels);
            try {
                walk.open(root);
                return walk.run() ? null : new Place(levels);
            } finally {
                levels.getFirst().directory = null;
                levels.forEach(Level::close);
            }
        }
    }

    /** Where a walk has stopped; of use to one walk. */
    static final class Place {
        private final List<Level> levels;

        private Place(List<Level> levels) {
            this.levels = levels;
        }
    }

    /** Opens what is still where it was, down to where the walk is. */
    private void open(Fd root) throws SyscallException {
        levels.getFirst().directory = root;
        SystemCalls.seekFromStart(root, levels.getFirst().position);
        for (int depth = 1; depth < levels.size(); depth++) {
            if (!levels.get(depth).reopenIn(levels.get(depth - 1).directory())) {
                levels.subList(depth, levels.size()).clear();
            } else if (depth > MOST_OPEN) {
                levels.get(depth - MOST_OPEN).close();
            }
        }
    }

    /** False if it was enough before the end. */
    private boolean run() throws SyscallException {
        do {
            Level current = levels.getLast();
            CString subdirectory = current.subdirectories.poll();
            if (subdirectory != null) {
                enter(current, subdirectory);
            } else if (!current.readToItsEnd) {
                if (!current.visitNextBatch(batch, visitor, isEnough)) {
                    return false;
                }
            } else if (levels.size() == 1) {
                return true;
            } else {
                leave(current);
            }
        } while (!isEnough.getAsBoolean());
        return false;
    }

    private void enter(Level parent, CString name) throws SyscallException {
        Fd directory;
        try {
            directory = SystemCalls.openat(parent.directory(), name, OPEN_DIRECTORY);
        } catch (SyscallException failure) {
            if (isGone(failure.errno())) {
                return;
            }
            throw failure;
        }
        Level level;
        try {
            level = new Level(name, Stat.of(directory));
        } catch (SyscallException failure) {
            directory.close();
            throw failure;
        }
        level.directory = directory;
        // From here on the walk closes it, whatever happens.
        levels.add(level);
        if (level.stat.mountId() != mountId) {
            levels.removeLast().close();
            visitor.otherMount(name);
        } else if (levels.size() > MOST_OPEN + 1) {
            levels.get(levels.size() - 1 - MOST_OPEN).close();
        }
    }

    /** Was removed, or is not a directory any more. */
    private static boolean isGone(Errno errno) {
        return errno.is(Errno.ENOENT) || errno.is(Errno.ENOTDIR) || errno.is(Errno.ELOOP);
    }

    private void leave(Level finished) throws SyscallException {
        Level parent = levels.get(levels.size() - 2);
        boolean found = parent.isOpen() || parent.reopenAsParentOf(finished);
        levels.removeLast().close();
        if (found) {
            visitor.leave(parent.directory(), finished.name);
        } else {
            while (!levels.getLast().isOpen()) {
                levels.removeLast();
            }
        }
    }

    /** What is done with the entries. */
    interface Visitor {
        /** Called once for each entry; true if it is a directory that shall be walked. */
        boolean visit(Fd directory, Entry entry) throws SyscallException;

        /** The directory is the root of another mount, and not walked. */
        void otherMount(CString name) throws SyscallException;

        /** Everything in the directory of that name has been visited. */
        void leave(Fd parent, CString name) throws SyscallException;
    }

    /**
     * A name in a directory.
     *
     * @param type as the directory gives it, which on some filesystems it does not
     * @param inode as the directory gives it; at a mount point that of the directory below the mount
     * @param directory that it is in, as it was when the walk entered it
     */
    record Entry(CString name, byte type, long inode, Stat directory) {
        private static final byte UNKNOWN = 0;
        private static final byte DIRECTORY = 4;
        private static final byte REGULAR_FILE = 8;

        boolean isSurelyDirectory() {
            return type == DIRECTORY;
        }

        boolean mayBeDirectory() {
            return type == DIRECTORY || type == UNKNOWN;
        }

        boolean mayBeRegularFile() {
            return type == REGULAR_FILE || type == UNKNOWN;
        }
    }

    /** A directory on the way from the root to where the walk is. */
    private static final class Level implements AutoCloseable {
        private static final int POSITION_OFFSET = 8;
        private static final int LENGTH_OFFSET = 16;
        private static final int TYPE_OFFSET = 18;
        private static final int NAME_OFFSET = 19;

        private final CString name;
        private final Stat stat;
        private final Deque<CString> subdirectories = new ArrayDeque<>();
        private @Nullable Fd directory;
        /** Where in the directory the next batch begins, in the filesystem's own measure. */
        private long position;

        private boolean readToItsEnd;

        Level(CString name, Stat stat) {
            this.name = name;
            this.stat = stat;
        }

        boolean isOpen() {
            return directory != null;
        }

        Fd directory() {
            if (directory == null) {
                throw new IllegalStateException(name + " is not open");
            }
            return directory;
        }

        /** False if it was enough before the batch's end. */
        boolean visitNextBatch(MemorySegment batch, Visitor visitor, BooleanSupplier isEnough) throws SyscallException {
            long lengthBytes = SystemCalls.getdents64(directory(), batch);
            readToItsEnd = lengthBytes == 0;
            long offset = 0;
            while (offset < lengthBytes) {
                Entry entry = new Entry(
                        CString.read(batch, offset + NAME_OFFSET),
                        batch.get(JAVA_BYTE, offset + TYPE_OFFSET),
                        batch.get(JAVA_LONG, offset),
                        stat);
                position = batch.get(JAVA_LONG, offset + POSITION_OFFSET);
                offset += Short.toUnsignedInt(batch.get(JAVA_SHORT, offset + LENGTH_OFFSET));
                if (entry.name().isSelfOrParent()) {
                    continue;
                }
                if (visitor.visit(directory(), entry)) {
                    subdirectories.add(entry.name());
                }
                if (isEnough.getAsBoolean()) {
                    return false;
                }
            }
            return true;
        }

        /** False if it is not there any more. */
        boolean reopenIn(Fd parent) throws SyscallException {
            try {
                return reopen(SystemCalls.openat(parent, name, OPEN_DIRECTORY));
            } catch (SyscallException failure) {
                if (isGone(failure.errno())) {
                    return false;
                }
                throw failure;
            }
        }

        /** False if the child has another parent now. */
        boolean reopenAsParentOf(Level child) throws SyscallException {
            return reopen(SystemCalls.openat(child.directory(), CString.PARENT, OPEN_DIRECTORY));
        }

        /** False, and closed, if it is another directory. */
        private boolean reopen(Fd opened) throws SyscallException {
            try {
                if (!Stat.of(opened).isSameFile(stat)) {
                    opened.close();
                    return false;
                }
                SystemCalls.seekFromStart(opened, position);
            } catch (SyscallException failure) {
                opened.close();
                throw failure;
            }
            directory = opened;
            return true;
        }

        @Override
        public void close() {
            if (directory != null) {
                directory.close();
                directory = null;
            }
        }
    }
}
