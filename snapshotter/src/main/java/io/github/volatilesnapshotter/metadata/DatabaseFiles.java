package io.github.volatilesnapshotter.metadata;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Optional;

/**
 * The database, what SQLite keeps beside it, and the two names under which a new one comes to be. Every step can be repeated, and
 * after a power cut at any point {@link #settle} finds either the old database with its log or a whole new one.
 */
record DatabaseFiles(Path database) {
    /** A new database that is being written; worth nothing. */
    Path unfinished() {
        return beside(".rebuilding");
    }

    /** A new database that is whole and on disk. While it has this name, nothing else in the directory counts. */
    Path next() {
        return beside(".next");
    }

    /**
     * The write-ahead log, its index, and the rollback journal that SQLite uses once, to switch to the log. None of them knows
     * which database it belongs to (sqlite.org/howtocorrupt.html, 1.4).
     */
    private List<Path> companions() {
        return List.of(beside("-wal"), beside("-shm"), beside("-journal"));
    }

    private Path beside(String suffix) {
        return database.resolveSibling(database.getFileName() + suffix);
    }

    /** Ends what the process before could not: nobody has the database open. On disk when this returns. */
    void settle() throws MetadataException {
        removeUnfinished();
        removeRestoring();
        if (Files.exists(next())) {
            putNextInPlace();
        }
    }

    void removeUnfinished() throws MetadataException {
        try {
            Files.deleteIfExists(unfinished());
        } catch (IOException e) {
            throw failure("remove " + unfinished(), e);
        }
    }

    /** A copy of a backup that is being read; worth nothing. */
    Path restoring() {
        return beside(".restoring");
    }

    /**
     * Gives the database and its log second names, under which they stay when another one is put in place. On disk when this returns.
     *
     * @return the second name of the database; nothing if there is none
     */
    Optional<Path> keepAside(String suffix) throws MetadataException {
        Path aside = beside(suffix);
        try {
            if (Files.notExists(database)) {
                return Optional.empty();
            }
            Files.createLink(aside, database);
            Path log = beside("-wal");
            if (Files.exists(log)) {
                Files.createLink(beside(suffix + "-wal"), log);
            }
            flushDirectory();
            return Optional.of(aside);
        } catch (IOException e) {
            throw failure("keep " + aside, e);
        }
    }

    void removeRestoring() throws MetadataException {
        try {
            for (String suffix : List.of("", "-wal", "-shm", "-journal")) {
                Files.deleteIfExists(beside(".restoring" + suffix));
            }
        } catch (IOException e) {
            throw failure("remove " + restoring(), e);
        }
    }

    /** Makes the unfinished database the next one. On disk when this returns. */
    void finish() throws MetadataException {
        try {
            flush(unfinished());
            rename(unfinished(), next());
            flushDirectory();
            CrashPoint.NEXT_DATABASE_FINISHED.reached();
        } catch (IOException e) {
            throw failure("bring " + next() + " to disk", e);
        }
    }

    /**
     * Replaces the database by the next one. On disk when this returns.
     *
     * <p>The companions are gone from the disk before the new database gets its name, as SQLite would replay a log that lies
     * beside it, whosever it is. Until then the old database without its log is not missed: the next one counts.
     */
    void putNextInPlace() throws MetadataException {
        try {
            for (Path companion : companions()) {
                Files.deleteIfExists(companion);
            }
            flushDirectory();
            CrashPoint.OLD_LOG_REMOVED.reached();
            rename(next(), database);
            CrashPoint.DATABASE_REPLACED.reached();
            flushDirectory();
        } catch (IOException e) {
            throw failure("put " + next() + " in place", e);
        }
    }

    /** Whether the database and its log are on disk as reading shows them. Flushes both; nobody may write meanwhile. */
    boolean areOnDisk() throws MetadataException {
        try {
            Path log = beside("-wal");
            return PageCache.isOnDisk(database) && (!Files.exists(log) || PageCache.isOnDisk(log));
        } catch (IOException e) {
            throw failure("compare with the disk", e);
        }
    }

    private void flushDirectory() throws IOException {
        Path directory = database.toAbsolutePath().getParent();
        if (directory != null) {
            flush(directory);
        }
    }

    private static void rename(Path from, Path to) throws IOException {
        Files.move(from, to, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    private static void flush(Path fileOrDirectory) throws IOException {
        try (FileChannel channel = FileChannel.open(fileOrDirectory, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    private MetadataException failure(String operation, IOException e) {
        return new MetadataException(Reason.FAILED, database, operation, e.toString(), "", e);
    }
}
