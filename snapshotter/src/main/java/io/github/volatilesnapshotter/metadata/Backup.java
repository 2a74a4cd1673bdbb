package io.github.volatilesnapshotter.metadata;

import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The records in a file of their own, which {@link SnapshotStore#copyTo} has written, or a copy of a database with its log.
 *
 * @param records in order of ids
 * @param idsReservedThrough as they were at the time
 */
public record Backup(List<SnapshotRecord> records, long idsReservedThrough) {
    /** More ids than a node gives between two backups: those that were given since are not given again. */
    static final long IDS_SINCE = 1_000_000;

    /** What to do about records that are damaged or missing; the same words as in the README. */
    public static final String OR_BEGIN_ANEW =
            "put a backup in its place (volatilectl restore FILE), or begin anew: stop containerd and the daemon, unmount what is"
                    + " mounted below the root, move the root away, remove last-transaction from the runtime directory, start"
                    + " both, and remove this snapshotter's images and containers from containerd";

    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("uuuuMMdd'T'HHmmss.SSS'Z'").withZone(ZoneOffset.UTC);

    public Backup {
        records = List.copyOf(records);
    }

    /**
     * Reads and verifies all of it, in a copy: the file stays as it is.
     *
     * @param scratch name of the copy, in a directory that can be written to; it is replaced, and removed again
     * @throws MetadataException if it is damaged, of a newer version, or something else
     */
    public static Backup read(Path file, Path scratch) throws MetadataException {
        return read(file, scratch, TransactionNote.NONE);
    }

    /** As {@link #read(Path, Path)}, and refuses a file that has lost transactions since they were noted. */
    public static Backup read(Path file, Path scratch, TransactionNote note) throws MetadataException {
        DatabaseFiles copies = new DatabaseFiles(scratch.toAbsolutePath());
        copies.removeRestoring();
        try {
            if (DatabaseHeader.read(file).isEmpty()) {
                throw new MetadataException(
                        Reason.UNUSABLE_FILE, file, "read", "it is no backup: there is nothing in it", "", null);
            }
            // Of the file itself: what is missing is told by its own name.
            SqliteFile.checkLog(file);
            copy(file, copies.restoring(), "");
            copy(file, copies.restoring(), "-wal");
            return readCopy(file, copies.restoring(), note);
        } catch (IOException e) {
            throw new MetadataException(Reason.UNUSABLE_FILE, file, "read", e.toString(), "", e);
        } finally {
            copies.removeRestoring();
        }
    }

    private static void copy(Path from, Path to, String suffix) throws IOException {
        Path source = from.resolveSibling(from.getFileName() + suffix);
        if (Files.exists(source)) {
            Files.copy(source, to.resolveSibling(to.getFileName() + suffix));
        }
    }

    private static Backup readCopy(Path file, Path copy, TransactionNote note) throws MetadataException {
        List<SnapshotRecord> records = new ArrayList<>();
        try {
            SqliteFile opened = SqliteFile.open(copy, Schema.CURRENT);
            try {
                long lastTransaction = opened.load(new SharedStrings(), records::add);
                StoreRow row = opened.storeRow();
                long _ = note.check(file.toAbsolutePath(), row, Math.max(lastTransaction, row.lastTransaction()));
                return new Backup(records, row.idsReservedThrough());
            } finally {
                opened.closeInUse();
            }
        } catch (MetadataException e) {
            throw new MetadataException(e.reason(), file, "read", e.detail(), e.resultCode(), e);
        }
    }

    /**
     * Writes them into a file of their own.
     *
     * @param file is not there, or empty; not flushed
     */
    public void writeTo(Path file) throws MetadataException {
        FreshDatabase.write(file, Schema.CURRENT, records, StoreRow.ofRestored(idsReservedThrough));
    }

    /**
     * Puts these records in the place of a database that nobody has open; what is there, damaged or not, is kept beside it. On disk when
     * this returns, and whole or not at all if it is interrupted.
     *
     * @return where the old database is now, with its log if it had one
     */
    public Optional<Path> putInPlaceOf(Path database) throws MetadataException {
        DatabaseFiles files = new DatabaseFiles(database.toAbsolutePath());
        // One that was put in place before but not everywhere yet.
        files.settle();
        Optional<Path> aside = files.keepAside(".replaced-" + TIME.format(Instant.now()));
        FreshDatabase.write(files, Schema.CURRENT, records, StoreRow.ofRestored(idsReservedThrough + IDS_SINCE));
        files.putNextInPlace();
        return aside;
    }
}
