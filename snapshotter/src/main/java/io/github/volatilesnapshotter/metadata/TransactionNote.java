package io.github.volatilesnapshotter.metadata;

import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HexFormat;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * The number of the last transaction that was acknowledged, outside of the database: in a file of the runtime directory, which outlives
 * the process and not the boot. A log that a kill has left whole and that somebody has damaged, cut off or emptied since looks as one that
 * has lost its tail in a power cut; a database that ends before its note, in the note's {@link Period}, has lost what was acknowledged, and no
 * power cut has done it.
 *
 * <p>One {@code write(2)} of some bytes within a page: a kill leaves it done or not. It is made after the transaction is written and
 * before anybody is told, so that the note is never ahead of the database.
 *
 * <p>Only a note that is there and says otherwise refuses a start. One that is not there, is empty, is of another boot or of another root says
 * nothing; who deletes it says that what is left of the records is to count. One that can't be read refuses the start too, as whoever has
 * damaged it may have damaged more.
 *
 * <p>Used by one thread at a time.
 */
public final class TransactionNote implements AutoCloseable {
    /** Of a database whose transactions nobody notes. */
    public static final TransactionNote NONE = new TransactionNote(null, new Period("", ""), false);

    private static final Pattern TEXT = Pattern.compile(
            "number ([0-9a-f]{16}) sum ([0-9a-f]{8})\n(boot (\\S+)\nfilesystem (\\S+)\nrecords (\\S+)\nof (.+)\n)",
            Pattern.DOTALL);

    private static final int MOST_BYTES = 16 << 10;

    /**
     * In which nothing of what was written is lost by itself.
     *
     * @param fileSystem an instance of the database's filesystem: one that has stopped writing loses the tail of the log as in a power cut when it
     *     is mounted anew
     */
    public record Period(String bootId, String fileSystem) {}

    /** What was noted. */
    private record Noted(long number, Period period, String identity, String database) {}

    private final @Nullable Path file;
    private final Period period;
    private final boolean isKept;
    private String rest = "";
    private @Nullable RandomAccessFile open;

    private TransactionNote(@Nullable Path file, Period period, boolean isKept) {
        this.file = file;
        this.period = period;
        this.isKept = isKept;
    }

    /**
     * Compared with the records when they are opened, and kept from then on.
     *
     * @param file in a directory that exists when the records are opened, and is empty after the next boot
     * @param period that is now
     */
    public static TransactionNote keptIn(Path file, Period period) {
        return new TransactionNote(file, period, true);
    }

    /** Only compared, and left as it is. */
    public static TransactionNote readFrom(Path file, Period period) {
        return new TransactionNote(file, period, false);
    }

    /** Whether it is written, and not only compared. */
    boolean isKept() {
        return isKept;
    }

    /**
     * Refuses to begin without records.
     *
     * @throws MetadataException if there were some on this boot
     */
    void checkMayBeMissing(Path database) throws MetadataException {
        Optional<Noted> noted = noted(database);
        if (noted.isPresent()) {
            throw refused(
                    database,
                    "there are no records, and the daemon has written transaction "
                            + noted.get().number() + " of some on this boot (" + file
                            + "): the root was emptied, or its filesystem is not mounted. Mount it, or put a backup in place"
                            + " (volatilectl restore FILE). If the root is to begin anew, remove this snapshotter's images and containers"
                            + " from containerd, then " + file + ", and start again");
        }
    }

    /**
     * Compares with what a database has.
     *
     * @param lastTransaction the newest one in it
     * @return how many that were acknowledged on this boot are missing since the filesystem was mounted anew
     * @throws MetadataException if any are missing for another reason
     */
    long check(Path database, StoreRow row, long lastTransaction) throws MetadataException {
        if (row.isRestored()) {
            return 0;
        }
        Optional<Noted> found = noted(database);
        if (found.isEmpty()) {
            return 0;
        }
        Noted noted = found.get();
        if (!noted.identity().equals(row.identity())) {
            throw refused(
                    database,
                    "these are not the records that the daemon has written on this boot (" + file
                            + "): another file was put in their place. They are left as they are. To put a backup in place use"
                            + " volatilectl restore FILE" + toAccept());
        }
        if (lastTransaction < noted.number() && noted.period().equals(period)) {
            throw refused(
                    database,
                    "acknowledged transactions are missing: the daemon has acknowledged number " + noted.number()
                            + " on this boot (" + file + "), and the records end with number " + lastTransaction
                            + ". Their write-ahead log was damaged, cut off or emptied, or the file was replaced by an older one."
                            + " They are left as they are, with the snapshots. Put the right files back, or a backup in place (volatilectl"
                            + " restore FILE)" + toAccept());
        }
        return Math.max(0, noted.number() - lastTransaction);
    }

    private String toAccept() {
        return ". To go on with what is there remove " + file
                + " and start again: what was prepared, committed or changed"
                + " in the missing transactions is lost then, layers too, which containerd goes on listing until their images"
                + " are removed";
    }

    /** Nothing if it says nothing about this database on this boot. */
    private Optional<Noted> noted(Path database) throws MetadataException {
        if (file == null) {
            return Optional.empty();
        }
        String text;
        try {
            text = text(file);
        } catch (NoSuchFileException _) {
            return Optional.empty();
        } catch (IOException e) {
            throw unreadable(database, e.toString());
        }
        if (text.chars().allMatch(c -> c == 0)) {
            return Optional.empty();
        }
        Noted noted = parse(text).orElseThrow(() -> unreadable(database, "it is not as it was written"));
        boolean isOurs = noted.period().bootId().equals(period.bootId())
                && noted.database().equals(database.toString())
                && noted.number() > 0;
        return isOurs ? Optional.of(noted) : Optional.empty();
    }

    private static String text(Path file) throws IOException {
        try (var content = Files.newInputStream(file)) {
            return new String(content.readNBytes(MOST_BYTES), StandardCharsets.UTF_8);
        }
    }

    private static Optional<Noted> parse(String text) {
        Matcher matcher = TEXT.matcher(text);
        if (!matcher.matches() || !matcher.group(2).equals(sum(matcher.group(1), matcher.group(3)))) {
            return Optional.empty();
        }
        return Optional.of(new Noted(
                HexFormat.fromHexDigitsToLong(matcher.group(1)),
                new Period(matcher.group(4), matcher.group(5)),
                matcher.group(6),
                matcher.group(7)));
    }

    private static String sum(String number, String rest) {
        CRC32C sum = new CRC32C();
        sum.update(number.getBytes(StandardCharsets.UTF_8));
        sum.update(rest.getBytes(StandardCharsets.UTF_8));
        return HexFormat.of().toHexDigits((int) sum.getValue());
    }

    private MetadataException unreadable(Path database, String why) {
        return refused(
                database,
                file + ", where the last transaction of this boot is noted, can't be read (" + why
                        + "), so that nobody can say whether the records have them all. Nothing was changed. If nothing has happened to"
                        + " " + database + " and its -wal remove " + file
                        + " and start again; else put a backup in place first"
                        + " (volatilectl restore FILE)");
    }

    private static MetadataException refused(Path database, String why) {
        return new MetadataException(Reason.UNUSABLE_FILE, database, "open", why, "", null);
    }

    /** From now on the note is that of these records. Replaces what was noted before, at once or not at all. */
    void begin(Path database, String identity, long lastTransaction) throws MetadataException {
        if (file == null || !isKept) { // the first for the compiler: none is kept nowhere
            return;
        }
        rest = "boot " + period.bootId() + "\nfilesystem " + period.fileSystem() + "\nrecords " + identity + "\nof "
                + database + "\n";
        Path draft = file.resolveSibling(file.getFileName() + ".new");
        try {
            Files.deleteIfExists(draft);
            Files.createFile(draft, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
            Files.writeString(draft, numberLine(lastTransaction) + rest);
            Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
            close();
            open = new RandomAccessFile(file.toFile(), "rw");
        } catch (IOException e) {
            throw new MetadataException(Reason.FAILED, file, "note the last transaction", e.toString(), "", e);
        }
    }

    /** False if somebody has deleted it since {@link #begin}: what is written then is read by nobody. */
    boolean isThere() {
        return file == null || !isKept || Files.exists(file);
    }

    /** A transaction is written, and about to be acknowledged. */
    void write(long number) throws IOException {
        // Not a channel: an interrupted thread would close it.
        RandomAccessFile opened = open;
        if (opened != null) {
            opened.seek(0);
            opened.write(numberLine(number).getBytes(StandardCharsets.UTF_8));
        }
    }

    private String numberLine(long number) {
        String digits = HexFormat.of().toHexDigits(number);
        return "number " + digits + " sum " + sum(digits, rest) + "\n";
    }

    @Override
    public void close() throws IOException {
        if (open != null) {
            open.close();
            open = null;
        }
    }
}
