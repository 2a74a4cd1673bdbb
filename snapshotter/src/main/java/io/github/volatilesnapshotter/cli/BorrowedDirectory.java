package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;

/** A directory that is there, or is made with those above it that are missing; what was made is taken away again. */
final class BorrowedDirectory implements AutoCloseable {
    private final Path path;
    private final Deque<Path> made = new ArrayDeque<>();

    private BorrowedDirectory(Path path) {
        this.path = path;
    }

    /** @param mode of every directory that is made */
    static BorrowedDirectory of(Path path, int mode) throws SyscallException {
        BorrowedDirectory directory = new BorrowedDirectory(path);
        try {
            directory.make(path, mode);
            return directory;
        } catch (SyscallException failure) {
            directory.close();
            throw failure;
        }
    }

    Path path() {
        return path;
    }

    @Override
    public void close() throws SyscallException {
        while (!made.isEmpty()) {
            Entries.rmdir(made.pop());
        }
    }

    private void make(Path missing, int mode) throws SyscallException {
        if (Entries.exists(missing)) {
            return;
        }
        Path parent = missing.getParent();
        if (parent != null) {
            make(parent, mode);
        }
        Entries.mkdir(missing, mode);
        made.push(missing);
    }
}
