package io.github.volatilesnapshotter.metadata;

import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;

/**
 * The records of all snapshots.
 *
 * <p>Reads may come from any thread. They are answered from memory, show only what is committed, each transaction whole or not
 * at all, and hold no lock while the caller works with the answer.
 *
 * <p>Writes are transactions, one at a time. A process that is killed loses none that returned. A machine that loses power
 * keeps every {@link #durable} one that returned and everything before it; of the {@link #ordered} ones since, the newest may be
 * missing, never one from the middle.
 */
public interface SnapshotStore extends AutoCloseable {
    Optional<SnapshotRecord> find(String key);

    Optional<SnapshotRecord> find(long id);

    /** Those of the keys that are there, at one moment. */
    Map<String, SnapshotRecord> find(Collection<String> keys);

    /** A copy of one moment, in order of ids. */
    List<SnapshotRecord> all();

    /** The record, its parent, and so on down to the base; empty if there is no such record. */
    List<SnapshotRecord> chain(long id);

    /** As {@link #chain(long)}, of the record that has the key at that moment. */
    List<SnapshotRecord> chain(String key);

    Optional<String> keyOf(long id);

    /** How many records the predicate selects at one moment. */
    int count(Predicate<? super SnapshotRecord> predicate);

    /**
     * One write transaction that costs no flush. Visible to readers all at once when this returns; not at all if it throws.
     *
     * @throws MetadataException if it could not be written; the records are as before
     * @throws IllegalStateException if called within a transaction
     */
    <T, X extends Exception> T ordered(Work<T, X> work) throws X, MetadataException;

    /**
     * As {@link #ordered}, for what must not be held up and can be done again later: refused at once while {@link #distrustDisk}
     * has no outcome yet.
     */
    <T, X extends Exception> T orderedNow(Work<T, X> work) throws X, MetadataException;

    /**
     * As {@link #ordered}, and returns after this and every earlier transaction is on disk. Flushes even if the work changed
     * nothing. Those that wait while another flush is under way share the next one, and its failure; the work may then be run by the thread of
     * one of the others.
     *
     * @throws MetadataException also if the flush failed. Then the records are as before, and later writes are refused until the
     *     file has been written anew from memory, where this transaction is not: from then on it never happened. Only if the
     *     process ends before that, a restart may find it
     */
    <T, X extends Exception> T durable(Work<T, X> work) throws X, MetadataException;

    /**
     * An id that was never given before, not even to a process before a power cut. May be called within a transaction. Takes
     * no flush except when reservations made ahead are used up.
     */
    long newId() throws MetadataException;

    /** From now on ids are above this one, because a directory with it was found. Takes effect at once, flushes nothing. */
    void raiseIdsAbove(long id);

    /**
     * Whether a write would be tried. It is not after one has failed in a way that leaves what the disk holds uncertain; the
     * records are then written anew without anybody's doing, and this turns true again. Any thread; asks no disk.
     */
    boolean isWritable();

    /**
     * Writebacks of the filesystem on which the records lie have failed, and work again: the records may have lost something, or
     * may be writable again. Returns at once. The store finds out on a thread of its own, by a flush, and writes the records anew
     * if that fails; until then transactions wait for the outcome, a few seconds at most, so that the first one after an error
     * does not have to find it.
     */
    void distrustDisk();

    /** Notes the last transaction again ({@link TransactionNote}) if the note was deleted; told to the observer if that can't be done. */
    void keepNoted() throws MetadataException;

    /**
     * Writes all records into a file of their own, as one transaction would see them. Taken from memory: it works also while the store's own
     * disk does not. The file's content is flushed, its name is not.
     *
     * @param file is not there, or empty
     */
    void copyTo(Path file) throws MetadataException;

    /** Waits for a transaction that is under way, brings everything to disk and closes the file. Later calls do nothing. */
    @Override
    void close() throws MetadataException;

    /** What a transaction does. Must not keep the transaction beyond its return. */
    @FunctionalInterface
    interface Work<T, X extends Exception> {
        T in(Transaction transaction) throws X, MetadataException;
    }

    /**
     * The records as this transaction has made them so far. Used by one thread, only while the work runs. What would break the
     * records is a programming error and an unchecked exception at once; containerd's own rules are the caller's to check.
     */
    interface Transaction {
        Optional<SnapshotRecord> find(String key);

        Optional<SnapshotRecord> find(long id);

        boolean hasChildren(long id);

        /**
         * Adds a record.
         *
         * @throws IllegalArgumentException if id or key are taken, or the parent does not exist
         */
        void insert(SnapshotRecord record);

        /**
         * Replaces the record with the same id; its key may change.
         *
         * @throws IllegalArgumentException if there is none, if another record has the key, or if the parent does not exist or
         *     stands on this very record
         */
        void replace(SnapshotRecord record);

        /**
         * Replaces the poison of all these records: one statement, and not one for each of them, which for a hundred takes ten
         * times as long.
         *
         * @throws IllegalArgumentException if one of them does not exist
         */
        void poison(Collection<Long> ids, Poison poison);

        /**
         * Takes a record away.
         *
         * @throws IllegalArgumentException if there is no such record, or others stand on it
         */
        void delete(long id);
    }
}
