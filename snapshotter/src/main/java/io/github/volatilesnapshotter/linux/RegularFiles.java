package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;

/** The regular files of a directory tree, opened for reading one after another, whoever else is at work in it. */
public final class RegularFiles {
    static final int OPEN_FLAGS = OpenFlags.READ_ONLY | OpenFlags.NO_FOLLOW | OpenFlags.NON_BLOCKING;

    private RegularFiles() {}

    /** What is done with each. */
    @FunctionalInterface
    public interface Action {
        /**
         * Does it.
         *
         * @param file is closed afterwards; may be a directory where the filesystem does not tell it from a file
         */
        void on(Fd file) throws SyscallException;
    }

    /**
     * Does it with each regular file below the root, on its mount: one that has several names there once for each. What vanishes
     * meanwhile is left out, as is what somebody puts in the place of a file; no symbolic link is followed and no device opened.
     */
    public static void each(Path root, Action action) throws SyscallException {
        try (DetachedView view = DetachedView.of(root)) {
            TreeWalk.walk(view.directory(), new Visit(action));
        }
    }

    private record Visit(Action action) implements TreeWalk.Visitor {
        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            if (entry.isSurelyDirectory()) {
                return true;
            }
            if (entry.mayBeRegularFile()) {
                try (Fd file = SystemCalls.openat(directory, entry.name(), OPEN_FLAGS)) {
                    action.on(file);
                } catch (SyscallException failure) {
                    if (!failure.operation().equals("open") || isFile(directory, entry.name(), failure.errno())) {
                        throw failure;
                    }
                }
            }
            return entry.mayBeDirectory();
        }

        /** Whether what could not be opened is a regular file, and not something that has taken the place of one. */
        private static boolean isFile(Fd directory, CString name, Errno errno) throws SyscallException {
            if (errno.is(Errno.ENOENT) || errno.is(Errno.ELOOP)) {
                return false;
            }
            try {
                return SystemCalls.statx(directory, name).isRegularFile();
            } catch (SyscallException failure) {
                if (failure.errno().is(Errno.ENOENT)) {
                    return false;
                }
                throw failure;
            }
        }

        @Override
        public void otherMount(CString name) {
            // The view shows none; what is on one is no part of the tree.
        }

        @Override
        public void leave(Fd parent, CString name) {
            // A directory has no content of its own.
        }
    }
}
