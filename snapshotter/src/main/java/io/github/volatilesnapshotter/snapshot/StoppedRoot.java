package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.Flock;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.Backup;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import io.github.volatilesnapshotter.metadata.TransactionNote;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

/** A root that no daemon serves, and none begins to as long as this is open: its records can be copied and replaced. */
public final class StoppedRoot implements AutoCloseable {
    private final Layout layout;
    private final Fd lock;

    private StoppedRoot(Layout layout, Fd lock) {
        this.layout = layout;
        this.lock = lock;
    }

    /**
     * Takes the lock that a daemon holds while it serves the root.
     *
     * @throws StartException if there is no such root, or a daemon serves it
     */
    public static StoppedRoot open(Path root) throws StartException, SyscallException {
        if (!Entries.exists(root)) {
            throw new StartException("there is no root " + root + "; give one with --root");
        }
        Optional<StoppedRoot> stopped = openIfStopped(root);
        if (stopped.isEmpty()) {
            throw new StartException("a daemon serves root " + root + " (it holds " + new Layout(root).lock() + ")");
        }
        return stopped.get();
    }

    /**
     * Takes the same lock.
     *
     * @param root is there
     * @return nothing if a daemon serves it
     */
    public static Optional<StoppedRoot> openIfStopped(Path root) throws SyscallException {
        Layout layout = new Layout(root);
        Fd lock = Fd.openReadWrite(layout.lock());
        if (!Flock.tryExclusive(lock)) {
            lock.close();
            return Optional.empty();
        }
        return Optional.of(new StoppedRoot(layout, lock));
    }

    /** Whether a daemon has ever served there. */
    public static boolean isRoot(Path directory) throws SyscallException {
        return Entries.exists(new Layout(directory).lock());
    }

    /**
     * Reads and verifies all records, in a copy.
     *
     * @param state the runtime directory of the root's daemon, where it notes the last transaction; may be missing
     * @return how many there are
     * @throws StartException if they are missing beside snapshots
     */
    public int verifyRecords(Path state) throws StartException, MetadataException, SyscallException {
        if (SqliteSnapshotStore.isMissing(layout.database())) {
            if (Entries.exists(layout.snapshots())) {
                StartChecks.checkRecords(layout);
            }
            return 0;
        }
        return Backup.read(layout.database(), layout.database(), noteIn(state))
                .records()
                .size();
    }

    private TransactionNote noteIn(Path state) throws SyscallException {
        return TransactionNote.readFrom(Layout.transactionNote(state), layout.period());
    }

    /**
     * Copies all records, as {@link SnapshotStore#copyTo} does. Those that are there stay as they are, with their log: it may be the only thing
     * that still tells what is wrong with them.
     *
     * @param state as for {@link #verifyRecords}: records that have lost transactions are refused
     */
    public void copyRecords(Path copy, Path state) throws StartException, MetadataException, SyscallException {
        if (SqliteSnapshotStore.isMissing(layout.database())) {
            throw new StartException(layout.database() + " is missing or empty: there is nothing to copy");
        }
        Backup.read(layout.database(), layout.database(), noteIn(state)).writeTo(copy);
    }

    /**
     * What the next start will meet.
     *
     * @param records in the backup
     * @param lostLayers committed snapshots in it whose directory is gone
     * @param orphans directories without a record in it: the next start throws them away
     * @param replaced where the records are that were there before
     */
    public record Restored(int records, int lostLayers, int orphans, Optional<Path> replaced) {}

    /**
     * Puts the records of a backup in the place of those that are there. On disk when this returns.
     *
     * @throws StartException if it is one of another root
     */
    public Restored restore(Path file) throws StartException, MetadataException, SyscallException, IOException {
        Backup backup = Backup.read(file, layout.database());
        Set<String> directories = new HashSet<>();
        if (Entries.exists(layout.snapshots())) {
            DirectoryTree.names(layout.snapshots()).forEach(entry -> directories.add(entry.name()));
        }
        int lostLayers = 0;
        for (SnapshotRecord record : backup.records()) {
            if (record.kind() == RecordKind.VIEW) {
                continue;
            }
            boolean hasDirectory = directories.remove(Long.toString(record.id()));
            if (record.kind() == RecordKind.COMMITTED) {
                requireSameLayer(file, record);
                lostLayers += hasDirectory ? 0 : 1;
            }
        }
        Optional<Path> replaced = backup.putInPlaceOf(layout.database());
        return new Restored(backup.records().size(), lostLayers, directories.size(), replaced);
    }

    /** A layer's directory knows the layer's name (see {@link LayerSync}). */
    private void requireSameLayer(Path file, SnapshotRecord record) throws StartException, IOException {
        String found;
        try {
            found = Files.readString(layout.committedMark(record.id()));
        } catch (NoSuchFileException _) {
            return;
        }
        if (!found.equals(record.key() + "\n")) {
            throw new StartException(file + " is a backup of another root: in it layer " + record.id() + " is "
                    + record.key() + ", and here it is " + found.strip() + ". Nothing was changed");
        }
    }

    @Override
    public void close() {
        lock.close();
    }
}
