package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.FileSystemStat;
import io.github.volatilesnapshotter.linux.Preallocation;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.file.Path;

/**
 * A file that is worth nothing but its blocks. A start on a full filesystem deletes it, and so has room for the few files that it must
 * write before it can serve, and remove what fills the filesystem. It comes back when there is room again.
 */
final class SpareRoom {
    private static final System.Logger LOG = System.getLogger(SpareRoom.class.getName());

    static final long BYTES = 8L << 20;

    /** It is not taken from what others may need now. */
    private static final long WITH_ROOM_BESIDE_BYTES = 8 * BYTES;

    private final Path directory;
    private final Path file;

    SpareRoom(Layout layout) {
        this.directory = layout.root();
        this.file = layout.spareRoom();
    }

    /** To be called before anything is written. */
    void giveIfFull() throws SyscallException {
        if (available() < BYTES && Entries.exists(file)) {
            LOG.log(WARNING, "the filesystem is full: the start uses what was spared for it", "file", file);
            Entries.unlink(file);
        }
    }

    /** What can't be spared now is tried again by the next call. */
    void keep() {
        try {
            if (!Entries.exists(file) && available() >= WITH_ROOM_BESIDE_BYTES) {
                Preallocation.asFile(file, BYTES);
            }
        } catch (SyscallException e) {
            LOG.log(DEBUG, "no room is spared for a start on a full filesystem", "failure", e);
        }
    }

    private long available() throws SyscallException {
        return FileSystemStat.of(directory).availableBytes();
    }
}
