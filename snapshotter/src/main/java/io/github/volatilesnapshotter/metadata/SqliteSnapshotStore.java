package io.github.volatilesnapshotter.metadata;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Records in a SQLite file, with a copy in memory that answers all reads.
 *
 * <p>The copy is read from the file when the store is opened, and a transaction goes into the copy after SQLite has committed it. Writers take turns under one lock; durable transactions that
 * wait for it are written as one, with one flush ({@link DurableTurns}). What costs a flush and is nobody's answer - carrying the write-ahead log
 * over, reserving ids - is done by a thread of the store's own.
 *
 * <p>A write that fails because the disk is full, or because another program has the file locked, leaves everything as it was.
 * After any other failure SQLite can't say what the disk holds (the kernel reports a lost page once, and a flush that is tried
 * again succeeds). The copy in memory then is the truth: the store goes on reading from it, refuses writes, and writes a new file
 * from it, again and again until that succeeds and writes are accepted again.
 */
public final class SqliteSnapshotStore implements SnapshotStore {
    /** The log is carried over when it is longer than this, which only a test makes another... */
    static final long LOG_CHECKPOINT_BYTES = Long.getLong("volatilesnapshotter.checkpoint", 4L << 20);

    /** ...and after an attempt that failed, again when it has grown by this much. */
    private static final long LOG_RETRY_BYTES = 1L << 20;

    /** How many changes are written between two looks at the length of the log, at 3 to 4 KiB each. */
    private static final long CHANGES_PER_LOOK = Math.clamp(LOG_CHECKPOINT_BYTES / (8L << 10), 1, 32);

    /** The time from the end of one attempt to write the file anew to the next... */
    private static final long REBUILD_PAUSE_MILLIS = 1_000;

    /** ...and so many times what the attempt took if that is longer, so that a disk that stays broken costs little... */
    private static final long REBUILD_PAUSE_SHARE = 10;

    /** ...but no longer than this. */
    private static final long REBUILD_PAUSE_LIMIT_MILLIS = 30_000;

    /** How long a transaction waits to learn whether a disk that is in doubt has kept the records. */
    private static final long DOUBT_WAIT_MILLIS = 5_000;

    private static final long MAINTENANCE_TIMEOUT_MILLIS = 30_000;

    /** Why writes are refused, and {@link System#nanoTime} of when that began. */
    private record Refusal(String why, long sinceNanos) {}

    /** The records after a transaction. */
    private record Acknowledged(List<SnapshotRecord> records, long lastTransaction) {}

    private final Path path;
    private final DatabaseFiles files;
    private volatile SqliteFile file;
    private final TransactionNote note;
    private final StoreObserver observer;
    private final SharedStrings strings = new SharedStrings();
    private final Mirror mirror = new Mirror();
    private final WriterTurn turn;
    /** Before the writer's turn: those that wait for a flush take it together. */
    private final DurableTurns durables = new DurableTurns();

    private final Semaphore maintenanceDue = new Semaphore(0);
    private final CountDownLatch closing = new CountDownLatch(1);
    private final Thread maintenance;
    private final ReservedIds ids = new ReservedIds();
    private final AtomicReference<@Nullable Refusal> refusal = new AtomicReference<>();
    private final Doubts doubts = new Doubts();
    private volatile boolean closed;
    private int changesSinceLook;
    private String identity = "";
    private boolean isRestored;
    private long lastTransaction;
    private boolean isNoteFailing;

    /** Whether the file says that it is in use. */
    private boolean isMarked;

    private long checkpointAtBytes = LOG_CHECKPOINT_BYTES;

    private SqliteSnapshotStore(DatabaseFiles files, SqliteFile file, TransactionNote note, StoreObserver observer) {
        this.path = files.database();
        this.turn = new WriterTurn(path);
        this.note = note;
        this.files = files;
        this.file = file;
        this.observer = observer;
        maintenance = Thread.ofPlatform().name("metadata-maintenance").daemon().unstarted(this::maintain);
    }

    /**
     * Opens the file, or makes it, readable by its owner only. Reads and verifies all of it. If the process before died while it
     * put a new file in the place of one it could not trust, that is ended first. On a disk that fails all that was read is served, and writes
     * are refused until it takes them ({@link #isWritable}).
     *
     * @param file in a directory that exists, on a filesystem that can map files
     * @throws MetadataException if it is damaged, of a newer version, or something else: it is never replaced
     */
    public static SqliteSnapshotStore open(Path file) throws MetadataException {
        return open(file, StoreObserver.NONE);
    }

    /** As {@link #open(Path)}, with an observer. */
    public static SqliteSnapshotStore open(Path file, StoreObserver observer) throws MetadataException {
        return open(file, TransactionNote.NONE, observer);
    }

    /**
     * As {@link #open(Path)}, and refuses records that have lost transactions since they were noted.
     *
     * @param note closed together with the store
     */
    public static SqliteSnapshotStore open(Path file, TransactionNote note, StoreObserver observer)
            throws MetadataException {
        DatabaseFiles files = new DatabaseFiles(file.toAbsolutePath());
        checkMayBegin(file, note);
        files.settle();
        SqliteSnapshotStore store =
                new SqliteSnapshotStore(files, SqliteFile.open(files.database(), Schema.CURRENT), note, observer);
        try {
            store.load();
        } catch (MetadataException e) {
            store.closeNoteAfter(e);
            store.file.letGoAfter(e);
            throw e;
        }
        store.maintenance.start();
        return store;
    }

    /**
     * Refuses to begin without records where there were some. Changes nothing.
     *
     * @throws MetadataException if {@link #isMissing}, and the note says so
     */
    public static void checkMayBegin(Path file, TransactionNote note) throws MetadataException {
        if (isMissing(file)) {
            note.checkMayBeMissing(new DatabaseFiles(file.toAbsolutePath()).database());
        }
    }

    /** Whether {@link #open} would begin without records: there is no file, or nothing in it. */
    public static boolean isMissing(Path file) {
        DatabaseFiles files = new DatabaseFiles(file.toAbsolutePath());
        return files.database().toFile().length() == 0 && Files.notExists(files.next());
    }

    private void load() throws MetadataException {
        List<Change> records = new ArrayList<>();
        long lastWritten = file.load(strings, record -> records.add(new Change.Insert(record)));
        StoreRow row = file.storeRow();
        identity = row.identity();
        isRestored = row.isRestored() && !note.isKept();
        lastTransaction = Math.max(lastWritten, row.lastTransaction());
        long lost = note.check(path, row, lastTransaction);
        if (lost > 0) {
            observer.tailLost(lost);
        }
        // Before anything says that the records were opened: a start that is killed in between has the same outcome.
        note.begin(path, identity, lastTransaction);
        mirror.apply(records);
        long lastGiven = records.isEmpty()
                ? 0
                : ((Change.Insert) records.getLast()).record().id();
        ids.load(row.idsReservedThrough(), lastGiven);
        try {
            bringToDisk();
        } catch (MetadataException e) {
            if (e.reason() != Reason.FAILED) {
                throw e;
            }
            // All is in memory. The maintenance writes it anew when the disk lets it.
            refuseWritesAfter(e);
        }
    }

    /** What is loaded, and that it is in use. */
    private void bringToDisk() throws MetadataException {
        // If not, the process before has died after the disk had failed, and before it could write the file anew.
        if (!files.areOnDisk() && !rebuildIfPossible()) {
            return;
        }
        try {
            file.markInUse(note.isKept());
            isMarked = true;
            // Also takes the flush of the log's header, see SqliteFile.checkpoint.
            reserveIds();
        } catch (MetadataException e) {
            if (!e.isDiskFull()) {
                throw e;
            }
            // What is there can be read also where there is no room for anything; the next change tries again.
            observer.noRoom(e);
        }
    }

    /** False if the disk does not let it yet: the maintenance goes on trying. */
    private boolean rebuildIfPossible() throws MetadataException {
        long begunAtNanos = System.nanoTime();
        try {
            rebuild();
        } catch (MetadataException e) {
            refuseWritesAfter(e);
            if (refusal.get() == null) {
                throw e;
            }
            return false;
        }
        observer.rebuilt(System.nanoTime() - begunAtNanos);
        return true;
    }

    /** Before anything else is written. */
    private void requireMarked() throws MetadataException {
        if (!isMarked) {
            file.markInUse(note.isKept());
            isMarked = true;
        }
    }

    @Override
    public Optional<SnapshotRecord> find(String key) {
        return mirror.find(key);
    }

    @Override
    public Optional<SnapshotRecord> find(long id) {
        return mirror.find(id);
    }

    @Override
    public Map<String, SnapshotRecord> find(Collection<String> keys) {
        return mirror.find(keys);
    }

    @Override
    public List<SnapshotRecord> all() {
        return mirror.all();
    }

    @Override
    public List<SnapshotRecord> chain(long id) {
        return mirror.chain(id);
    }

    @Override
    public List<SnapshotRecord> chain(String key) {
        return mirror.chain(key);
    }

    @Override
    public Optional<String> keyOf(long id) {
        return mirror.find(id).map(SnapshotRecord::key);
    }

    @Override
    public int count(Predicate<? super SnapshotRecord> predicate) {
        return Math.toIntExact(mirror.all().stream().filter(predicate).count());
    }

    @Override
    public <T, X extends Exception> T ordered(Work<T, X> work) throws X, MetadataException {
        awaitOutcomeOfDoubts();
        return orderedNow(work);
    }

    @Override
    public <T, X extends Exception> T orderedNow(Work<T, X> work) throws X, MetadataException {
        long calledAtNanos = System.nanoTime();
        try (WriterTurn.Held _ = becomeWriter()) {
            long begunAtNanos = System.nanoTime();
            ChangeSet transaction = new ChangeSet(mirror, strings);
            T answer;
            List<Change> changes;
            try {
                answer = work.in(transaction);
            } finally {
                changes = transaction.finish();
            }
            commit(changes, Durability.ORDERED);
            observer.written(Durability.ORDERED, begunAtNanos - calledAtNanos, System.nanoTime() - begunAtNanos);
            return answer;
        }
    }

    @Override
    public <T, X extends Exception> T durable(Work<T, X> work) throws X, MetadataException {
        turn.refuseNested();
        awaitOutcomeOfDoubts();
        DurableWrite<T, X> write = new DurableWrite<>(work);
        DurableTurns.@Nullable Place lead = awaitTurn(write);
        if (lead != null) {
            try (WriterTurn.Held _ = becomeWriter()) {
                writeTogether(durables.take());
            } finally {
                durables.end(lead);
            }
        }
        return write.answer();
    }

    /** Null if another thread has written it. */
    private DurableTurns.@Nullable Place awaitTurn(DurableWrite<?, ?> write) throws MetadataException {
        try {
            return durables.await(write, WriterTurn.TIMEOUT_MILLIS);
        } catch (TimeoutException e) {
            throw turn.busy();
        } catch (InterruptedException e) {
            throw turn.interrupted();
        }
    }

    /**
     * One transaction of SQLite and one flush for all of them, each on what those before it have made of the records. All are on disk, or none
     * is; but one whose work has thrown is no part of it.
     */
    private void writeTogether(List<DurableWrite<?, ?>> writes) {
        long begunAtNanos = System.nanoTime();
        RecordsSoFar records = mirror;
        List<Change> changes = new ArrayList<>();
        List<DurableWrite<?, ?>> worked = new ArrayList<>();
        for (DurableWrite<?, ?> write : writes) {
            ChangeSet transaction = new ChangeSet(records, strings);
            boolean hasWorked = write.run(transaction);
            List<Change> its = transaction.finish();
            if (hasWorked) {
                worked.add(write);
                changes.addAll(its);
                records = transaction.soFar();
            }
        }
        if (worked.isEmpty()) {
            return;
        }
        try {
            commit(changes, Durability.DURABLE);
        } catch (MetadataException | RuntimeException | Error e) {
            worked.forEach(write -> write.fail(e));
            return;
        }
        long endedAtNanos = System.nanoTime();
        observer.flushed(worked.size());
        worked.forEach(write -> observer.written(
                Durability.DURABLE, begunAtNanos - write.calledAtNanos(), endedAtNanos - begunAtNanos));
    }

    private void awaitOutcomeOfDoubts() throws MetadataException {
        if (closed || !doubts.areOpen()) {
            return;
        }
        try {
            doubts.awaitSettled(DOUBT_WAIT_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw refused(Reason.BUSY, "interrupted while waiting to learn whether the disk has kept the records");
        }
    }

    private void commit(List<Change> changes, Durability durability) throws MetadataException {
        if (changes.isEmpty() && durability == Durability.ORDERED) {
            return;
        }
        long number = changes.isEmpty() ? lastTransaction : lastTransaction + 1;
        try {
            requireMarked();
            file.write(changes, durability, number);
        } catch (MetadataException e) {
            refuseWritesAfter(e);
            throw e;
        }
        CrashPoint.WRITTEN.reached();
        acknowledge(number);
        mirror.apply(changes);
        changesSinceLook += changes.size();
        if (changesSinceLook >= CHANGES_PER_LOOK) {
            changesSinceLook = 0;
            if (file.logBytes() >= checkpointAtBytes) {
                maintenanceDue.release();
            }
        }
    }

    /** A transaction that can't be noted is as good as any; its loss would not be found. */
    private void acknowledge(long number) {
        lastTransaction = number;
        try {
            note.write(number);
            isNoteFailing = false;
        } catch (IOException e) {
            if (!isNoteFailing) {
                isNoteFailing = true;
                observer.notNoted(e);
            }
        }
    }

    @Override
    public long newId() throws MetadataException {
        long id = ids.give();
        if (!ids.isReserved(id)) {
            reserveIdsNow(id);
        } else if (ids.isMiddle(id)) {
            maintenanceDue.release();
        }
        return id;
    }

    private void reserveIdsNow(long atLeast) throws MetadataException {
        if (turn.isMine()) { // within a transaction, which has not written anything yet
            reserveIds(atLeast);
            return;
        }
        try (WriterTurn.Held _ = becomeWriter()) {
            reserveIds(atLeast);
        }
    }

    private void reserveIds(long atLeast) throws MetadataException {
        if (!ids.isReserved(atLeast)) {
            reserveIds();
        }
    }

    private void reserveIds() throws MetadataException {
        long through = ids.nextThrough();
        try {
            requireMarked();
            file.reserveIds(through);
        } catch (MetadataException e) {
            refuseWritesAfter(e);
            throw e;
        }
        CrashPoint.IDS_RESERVED.reached();
        ids.reserved(through);
    }

    @Override
    public void raiseIdsAbove(long id) {
        ids.raiseAbove(id);
    }

    /** How many threads wait for their turn to write. Any thread. */
    public int waitingWriters() {
        return turn.waiting() + durables.waiting();
    }

    /** Length of the write-ahead log. Any thread. */
    public long logBytes() {
        return file.logBytes();
    }

    @Override
    public boolean isWritable() {
        return !closed && refusal.get() == null;
    }

    @Override
    public void distrustDisk() {
        doubts.raise();
        maintenanceDue.release();
    }

    @Override
    public void keepNoted() throws MetadataException {
        if (note.isThere()) {
            return;
        }
        try (WriterTurn.Held _ = becomeWriter()) {
            note.begin(path, identity, lastTransaction);
        }
        observer.notedAgain();
    }

    /** The turn of one who may write now. */
    private WriterTurn.Held becomeWriter() throws MetadataException {
        WriterTurn.Held held = turn.take();
        Refusal refused = refusal.get();
        String why = closed ? "the store is closed" : refused != null ? refused.why() : null;
        if (why != null) {
            held.close();
            throw refused(Reason.REFUSED, why);
        }
        return held;
    }

    @Override
    public void copyTo(Path copy) throws MetadataException {
        Acknowledged moment = acknowledged();
        FreshDatabase.write(
                copy,
                Schema.CURRENT,
                moment.records(),
                new StoreRow(ids.highest(), identity, moment.lastTransaction(), false));
    }

    private MetadataException refused(Reason reason, String why) {
        return new MetadataException(reason, path, "write", why, "", null);
    }

    private void refuseWritesAfter(MetadataException failure) {
        if (failure.reason() == Reason.FAILED || failure.reason() == Reason.UNUSABLE_FILE) {
            String why =
                    "writes are refused until the file has been written anew from memory, which is tried again and "
                            + "again, as what the disk holds is uncertain since this failed: " + failure.getMessage();
            if (refusal.compareAndSet(null, new Refusal(why, System.nanoTime()))) {
                observer.writesRefused(failure);
                maintenanceDue.release();
            }
        }
    }

    private void maintain() {
        while (true) {
            maintenanceDue.acquireUninterruptibly();
            maintenanceDue.drainPermits();
            checkDoubtedDisk();
            rebuildWhileRefusing();
            if (closed) {
                doubts.settle(doubts.raised());
                return;
            }
            try {
                reserveIdsAhead();
                carryLogOver();
            } catch (MetadataException e) {
                if (!closed) {
                    observer.maintenanceFailed(e);
                }
            }
        }
    }

    /** A page of the log that could not be written back is reported once, by the next flush of this very connection. */
    private void checkDoubtedDisk() {
        long doubt = doubts.raised();
        if (!doubts.areOpen() || refusal.get() != null) {
            return; // while writes are refused, the next attempt to write the file anew is what settles a doubt
        }
        try (WriterTurn.Held _ = becomeWriter()) {
            commit(List.of(), Durability.DURABLE);
        } catch (MetadataException e) {
            if (refusal.get() == null && !closed) {
                observer.maintenanceFailed(e);
            }
        }
        if (refusal.get() == null) {
            doubts.settle(doubt);
        }
    }

    private void rebuildWhileRefusing() {
        Refusal refused = refusal.get();
        for (int attempt = 1; refused != null && !closed; attempt++) {
            long begunAtNanos = System.nanoTime();
            long doubt = doubts.raised();
            try {
                rebuild();
            } catch (MetadataException e) {
                observer.rebuildFailed(e, attempt);
            }
            doubts.settle(doubt);
            if (refusal.get() == null) {
                observer.rebuilt(System.nanoTime() - refused.sinceNanos());
                return;
            }
            pauseAfterAttemptOf(System.nanoTime() - begunAtNanos);
        }
    }

    /** Shorter, but not shorter than what the attempt took, if somebody says meanwhile that the disk may be well again. */
    private void pauseAfterAttemptOf(long tookNanos) {
        long endedAtNanos = System.nanoTime();
        long tookMillis = TimeUnit.NANOSECONDS.toMillis(tookNanos);
        long leastMillis = Math.clamp(tookMillis, REBUILD_PAUSE_MILLIS, REBUILD_PAUSE_LIMIT_MILLIS);
        long mostMillis =
                Math.clamp(REBUILD_PAUSE_SHARE * tookMillis, REBUILD_PAUSE_MILLIS, REBUILD_PAUSE_LIMIT_MILLIS);
        long mostNanos = TimeUnit.MILLISECONDS.toNanos(mostMillis);
        try {
            boolean _ = closing.await(leastMillis, TimeUnit.MILLISECONDS);
            long pausedNanos = System.nanoTime() - endedAtNanos;
            while (!closed && !doubts.areOpen() && pausedNanos < mostNanos) {
                boolean _ = maintenanceDue.tryAcquire(mostNanos - pausedNanos, TimeUnit.NANOSECONDS);
                pausedNanos = System.nanoTime() - endedAtNanos;
            }
        } catch (InterruptedException e) {
            throw new IllegalStateException("nobody interrupts the thread of the store's own", e);
        }
    }

    /** Writes the file anew from memory and accepts writes again. If that fails, the old files are as they were. */
    private void rebuild() throws MetadataException {
        Acknowledged moment = acknowledged();
        long idsThrough = ids.nextThrough();
        FreshDatabase.write(
                files,
                Schema.CURRENT,
                moment.records(),
                new StoreRow(idsThrough, identity, moment.lastTransaction(), isRestored));
        try (WriterTurn.Held _ = turn.take()) {
            if (!closed) { // else the next one to open it puts the new file in place
                switchToNext(idsThrough);
            }
        }
    }

    /** Taken in a writer's turn: none that began before writes were refused is still under way, and none begins. */
    private Acknowledged acknowledged() throws MetadataException {
        try (WriterTurn.Held _ = turn.take()) {
            return new Acknowledged(mirror.all(), lastTransaction);
        }
    }

    /**
     * The old file is closed only now, when it no longer counts, because SQLite carries the log over as it closes, and before a new
     * log can have the name of the old one, because SQLite then removes it by name.
     */
    private void switchToNext(long idsThrough) throws MetadataException {
        file.closeInUse();
        files.putNextInPlace();
        file = SqliteFile.open(path, Schema.CURRENT);
        file.markInUse(note.isKept());
        isMarked = true;
        // Also takes the flush of the log's header, see SqliteFile.checkpoint. If it fails, this file is the one that
        // must stay
        // open until the next one is on disk.
        file.reserveIds(idsThrough);
        ids.reserved(idsThrough);
        checkpointAtBytes = LOG_CHECKPOINT_BYTES;
        changesSinceLook = 0;
        refusal.set(null);
    }

    private void reserveIdsAhead() throws MetadataException {
        if (ids.areScarce()) {
            try (WriterTurn.Held _ = becomeWriter()) {
                reserveIds();
            }
        }
    }

    private void carryLogOver() throws MetadataException {
        long logBytes = file.logBytes();
        if (logBytes < LOG_CHECKPOINT_BYTES) {
            return;
        }
        flushLogAhead();
        long blockedNanos;
        try (WriterTurn.Held _ = becomeWriter()) {
            long begunAtNanos = System.nanoTime();
            emptyLog(logBytes);
            blockedNanos = System.nanoTime() - begunAtNanos;
        }
        observer.checkpointed(logBytes, blockedNanos);
    }

    private void emptyLog(long logBytes) throws MetadataException {
        try {
            checkpointAtBytes = logBytes + LOG_RETRY_BYTES;
            if (!file.checkpoint()) {
                throw refused(
                        Reason.BUSY,
                        "the write-ahead log of " + logBytes
                                + " bytes cannot be emptied while another program reads the file");
            }
            CrashPoint.LOG_CARRIED_OVER.reached();
            checkpointAtBytes = LOG_CHECKPOINT_BYTES;
        } catch (MetadataException e) {
            refuseWritesAfter(e);
            throw e;
        }
    }

    private void flushLogAhead() throws MetadataException {
        try {
            file.flushLog();
        } catch (MetadataException e) {
            refuseWritesAfter(e);
            throw e;
        }
    }

    /** As the interface says; after a write that left the disk uncertain the file is left to the end of the process. */
    @Override
    public void close() throws MetadataException {
        try (WriterTurn.Held _ = turn.take()) {
            if (closed) {
                return;
            }
            closed = true;
            closing.countDown();
        }
        endMaintenance();
        try {
            if (refusal.get() == null) {
                // Else closing would carry a log into the database whose pages may be lost, without looking at its
                // checksums. The next open does look at them.
                file.close();
            }
        } catch (MetadataException e) {
            if (!e.isDiskFull()) {
                throw e;
            }
            // As after a kill: it stays marked, with its log.
            observer.noRoom(e);
        } finally {
            closeNote();
        }
    }

    private void closeNote() throws MetadataException {
        try {
            note.close();
        } catch (IOException e) {
            throw new MetadataException(
                    Reason.FAILED, path, "close the note of the last transaction", e.toString(), "", e);
        }
    }

    private void closeNoteAfter(MetadataException failure) {
        try {
            note.close();
        } catch (IOException e) {
            failure.addSuppressed(e);
        }
    }

    private void endMaintenance() throws MetadataException {
        maintenanceDue.release();
        try {
            if (!maintenance.join(Duration.ofMillis(MAINTENANCE_TIMEOUT_MILLIS))) {
                throw refused(Reason.BUSY, "maintenance has taken longer than " + MAINTENANCE_TIMEOUT_MILLIS + " ms");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw refused(Reason.BUSY, "interrupted while waiting for maintenance");
        }
    }
}
