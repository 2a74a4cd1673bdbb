package io.github.volatilesnapshotter.metadata;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * The log's file, brought over the close of its database. SQLite removes it, and on a filesystem that is full by then or by the next start
 * nothing may make a new one: xfs has no inode left, or no room to give out one that is free. A second name takes no inode.
 */
final class KeptLog {
    /** More than any filesystem takes for a new file: its inode, perhaps with others, and the directory's entry. */
    private static final long ROOM_FOR_A_FILE_BYTES = 1 << 20;

    private final Path log;
    private final Path second;
    private final boolean isKept;

    /** Gives it the second name, which needs a block on an xfs that has none: then it has none. */
    KeptLog(Path log) {
        this.log = log;
        this.second = log.resolveSibling(log.getFileName() + ".kept");
        this.isKept = keep();
    }

    private boolean keep() {
        try {
            // Of a daemon that was killed just here.
            Files.deleteIfExists(second);
            Files.createLink(second, log);
            return true;
        } catch (IOException _) {
            return false;
        }
    }

    /** Whether there may be no log once this one is removed. */
    boolean canBeLost() {
        if (isKept) {
            return false;
        }
        try {
            return Files.getFileStore(log).getUnallocatedSpace() < ROOM_FOR_A_FILE_BYTES;
        } catch (IOException _) {
            return false;
        }
    }

    /** To be called after the close. If SQLite has removed the log, what was in it is in the database; else it stays as it is. */
    void leaveEmpty() {
        try {
            if (Files.exists(log)) {
                Files.deleteIfExists(second);
            } else if (isKept) {
                FileChannel.open(second, StandardOpenOption.WRITE, StandardOpenOption.TRUNCATE_EXISTING)
                        .close();
                Files.move(second, log, StandardCopyOption.ATOMIC_MOVE);
            } else {
                SqliteFile.createForOwnerOnly(log);
            }
        } catch (IOException | MetadataException _) {
            // The next start tries to make one as well, and says why it can't.
        }
    }
}
