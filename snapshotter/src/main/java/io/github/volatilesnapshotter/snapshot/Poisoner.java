package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.WARNING;
import static java.util.stream.Collectors.groupingBy;
import static java.util.stream.Collectors.mapping;
import static java.util.stream.Collectors.toList;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.Poison;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Poisons snapshots: recorded first, then told. If the record can't be written, because the metadata's own disk fails, the poison
 * holds in memory and is recorded as soon as that works; the kernel remembers it too, as long as the overlay is mounted. From the
 * moment of the verdict no request gets the snapshot any more, recorded or not.
 *
 * <p>Records are written, and listeners told, on a thread of its own: where the records lie on a disk that hangs, it is the only one
 * that waits for it. Nobody is told while it does. May be called from any thread, also with locks held: it waits at most {@value
 * #RECORD_WAIT_MILLIS} ms for the record, and for nothing else. The record is an ordered one: after a power cut another boot id
 * condemns the upper anyway.
 */
final class Poisoner implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Poisoner.class.getName());

    private static final int NAMING_SECONDS = 60;

    /** A transaction takes some microseconds, and one behind a checkpoint some milliseconds. */
    static final long RECORD_WAIT_MILLIS = 500;

    private static final long STOP_WAIT_MILLIS = 1_000;

    private final SnapshotStore store;
    private final Consumer<List<Condemned>> reports;
    private final UnrecordedPoison unrecorded = new UnrecordedPoison();

    private final ThreadPoolExecutor recorder = new ThreadPoolExecutor(
            1,
            1,
            0,
            TimeUnit.SECONDS,
            // One that waits for the thread records what all have found until it begins.
            new LinkedBlockingQueue<>(1),
            Thread.ofPlatform().name("poison-recorder").daemon().factory(),
            // After a stop: the next daemon finds it in the kernel.
            new ThreadPoolExecutor.DiscardPolicy());

    /** Recorded, or known that it can't be. Bounded by the snapshots. */
    private final BlockingQueue<Condemned> toTell = new LinkedBlockingQueue<>();

    /** Asked for and not begun. */
    private final AtomicReference<@Nullable FutureTask<Boolean>> wanted = new AtomicReference<>();

    /** Asked again each second while the disk is sick: logged when it changes. */
    private final AtomicInteger reportedUnrecorded = new AtomicInteger();

    /** @param reports told of what was poisoned, on the recorder's thread */
    Poisoner(SnapshotStore store, Consumer<List<Condemned>> reports) {
        this.store = store;
        this.reports = reports;
        // Begun now: an error does not wait for a thread, and none inherits the priority of who found it.
        recorder.prestartCoreThread();
    }

    /** The poison of a snapshot, recorded or not; also if it was recorded after the caller has read this record. */
    Optional<Poison> of(SnapshotRecord snapshot) {
        if (snapshot.poison() != null) {
            return Optional.of(snapshot.poison());
        }
        if (!canBePoisoned(snapshot)) {
            return Optional.empty();
        }
        Optional<Poison> unwritten = unrecorded.isEmpty() ? Optional.empty() : unrecorded.holding(snapshot.id());
        if (unwritten.isPresent()) {
            return unwritten;
        }
        // What leaves the unrecorded is in the records before it does.
        return store.find(snapshot.id()).map(SnapshotRecord::poison);
    }

    /** @throws SnapshotException FAILED_PRECONDITION if the snapshot is poisoned */
    void refusePoisoned(SnapshotRecord snapshot) throws SnapshotException {
        Optional<Poison> poison = of(snapshot);
        if (poison.isPresent()) {
            throw Failures.poisoned(snapshot.key(), poison.get());
        }
    }

    /** One snapshot and what is wrong with it. */
    record Verdict(long id, PoisonReason reason, @Nullable Errno errno, String device) {}

    /**
     * Poisons all of them in one transaction; those that are poisoned, committed or removed meanwhile stay as they are. Waits only
     * for what was not known before, or is being committed.
     *
     * @return whether all that is known is recorded; false also if it can't be recorded now
     */
    boolean poison(List<Verdict> verdicts) {
        boolean isNew = condemn(verdicts);
        if (!isNew && verdicts.stream().noneMatch(verdict -> unrecorded.isOpen(verdict.id()))) {
            recordSoon();
            return unrecorded.isEmpty();
        }
        try {
            return recording().get(RECORD_WAIT_MILLIS, TimeUnit.MILLISECONDS);
        } catch (TimeoutException e) {
            LOG.log(WARNING, "poison holds in memory only: recording it takes long", "snapshots", unrecorded.size());
            return false;
        } catch (ExecutionException e) {
            throw new IllegalStateException("recording poison", e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /** As {@link #poison}, on this thread, and however long it takes; whether all that is known is recorded. */
    boolean poisonAndWait(List<Verdict> verdicts) {
        if (condemn(verdicts)) {
            record();
            tell();
        }
        return unrecorded.isEmpty();
    }

    /** From now on the snapshots are refused; whether there is one that was not before. */
    boolean condemn(List<Verdict> verdicts) {
        Instant now = Instant.now();
        boolean isNew = false;
        for (Verdict verdict : verdicts) {
            String errno = verdict.errno() == null ? "" : verdict.errno().name();
            Poison poison = new Poison(verdict.reason().word(), errno, verdict.device(), now, List.of());
            if (unrecorded.add(
                    verdict.id(),
                    poison,
                    () -> store.find(verdict.id())
                            .filter(Poisoner::canBePoisoned)
                            .isPresent())) {
                isNew = true;
            }
        }
        if (isNew) {
            CrashPoint.POISON_KNOWN.reached();
        }
        return isNew;
    }

    /** Has recorded what is not recorded yet. Returns at once. */
    void recordSoon() {
        if (!unrecorded.isEmpty()) {
            var _ = recording();
        }
    }

    /** One that has not begun: it finds all that was known before this call. Gives whether that could be recorded. */
    private Future<Boolean> recording() {
        FutureTask<Boolean> mine = new FutureTask<>(this::recordWanted);
        FutureTask<Boolean> first = wanted.compareAndExchange(null, mine);
        if (first != null) {
            return first;
        }
        recorder.execute(() -> {
            mine.run();
            tell();
        });
        return mine;
    }

    private boolean recordWanted() {
        wanted.set(null);
        setPriority(Niceness::goFirst);
        try {
            return record();
        } finally {
            // What tells and logs, and threads that the listeners begin, are in no hurry that others should suffer
            // from.
            setPriority(Niceness::takeShare);
        }
    }

    /** Without the right to it everything is done all the same, at the priority that the thread has. */
    private static void setPriority(Priority priority) {
        try {
            priority.set();
        } catch (SyscallException e) {
            LOG.log(DEBUG, "the priority can't be set", "failure", e);
        }
    }

    @FunctionalInterface
    private interface Priority {
        void set() throws SyscallException;
    }

    /** Afterwards it is recorded, or known that it can't be: then false. */
    private synchronized boolean record() {
        Map<Long, Poison> fresh = unrecorded.untold();
        boolean isRecorded = recordAll();
        Instant now = Instant.now();
        fresh.forEach((id, poison) -> {
            Optional<SnapshotRecord> snapshot = store.find((long) id);
            if (!isRecorded
                    && snapshot.filter(Poisoner::canBePoisoned).isPresent()
                    && unrecorded.holding(id).isEmpty()) {
                // Its Commit is on its way: whether the poison will hold is seen the next time.
                return;
            }
            unrecorded.told(id);
            snapshot.filter(found -> isRecorded ? isRecordOf(poison, found.poison()) : canBePoisoned(found))
                    .ifPresent(found -> toTell.add(new Condemned(found, poison, isRecorded, now)));
        });
        return isRecorded;
    }

    /** Files may have been named meanwhile. */
    private static boolean isRecordOf(Poison poison, @Nullable Poison recorded) {
        return recorded != null && poison.withFiles(List.of()).equals(recorded.withFiles(List.of()));
    }

    private void tell() {
        List<Condemned> told = new ArrayList<>();
        toTell.drainTo(told);
        reports.accept(told);
    }

    /** Whether nothing of what was unrecorded is left so; tells nobody. */
    boolean recordAll() {
        if (unrecorded.isEmpty()) {
            return true;
        }
        Map<Long, Poison> pending = unrecorded.all();
        try {
            int _ = store.<Integer, RuntimeException>orderedNow(transaction -> {
                Map<Poison, List<Long>> alike = pending.entrySet().stream()
                        .filter(entry -> transaction
                                .find((long) entry.getKey())
                                .filter(Poisoner::canBePoisoned)
                                .isPresent())
                        .collect(groupingBy(Map.Entry::getValue, mapping(Map.Entry::getKey, toList())));
                alike.forEach((poison, ids) -> transaction.poison(ids, poison));
                return pending.size();
            });
        } catch (MetadataException e) {
            if (reportedUnrecorded.getAndSet(pending.size()) != pending.size()) {
                LOG.log(
                        ERROR,
                        "poison holds in memory only: it can't be recorded",
                        "snapshots",
                        pending.size(),
                        "failure",
                        e);
            }
            return false;
        }
        CrashPoint.POISON_RECORDED.reached();
        unrecorded.remove(pending.keySet());
        reportedUnrecorded.set(0);
        return true;
    }

    /**
     * Adds files to the records of those that were poisoned by a writeback error in the last {@value #NAMING_SECONDS} s: their names are
     * found some milliseconds after the error. What can't be recorded now is not named.
     */
    void nameFiles(List<String> files) {
        Instant since = Instant.now().minusSeconds(NAMING_SECONDS);
        List<Long> ids = store.all().stream()
                .filter(snapshot -> isNamed(snapshot, since))
                .map(SnapshotRecord::id)
                .toList();
        if (ids.isEmpty()) {
            return;
        }
        try {
            int _ = store.<Integer, RuntimeException>orderedNow(transaction -> {
                ids.forEach(id -> transaction
                        .find((long) id)
                        .filter(snapshot -> isNamed(snapshot, since))
                        .ifPresent(snapshot -> transaction.replace(withFiles(snapshot, files))));
                return ids.size();
            });
        } catch (MetadataException e) {
            LOG.log(WARNING, "the files that lost a write are not recorded", "failure", e.getMessage());
        }
    }

    private static boolean isNamed(SnapshotRecord snapshot, Instant since) {
        Poison poison = snapshot.poison();
        return poison != null
                && poison.reason().equals(PoisonReason.WRITEBACK_ERROR.word())
                && poison.at().isAfter(since)
                && poison.files().size() < DamagedFiles.MOST_FILES;
    }

    private static SnapshotRecord withFiles(SnapshotRecord snapshot, List<String> files) {
        Poison poison = Objects.requireNonNull(snapshot.poison());
        List<String> all = Stream.concat(poison.files().stream(), files.stream())
                .distinct()
                .limit(DamagedFiles.MOST_FILES)
                .toList();
        return snapshot.withPoison(poison.withFiles(all));
    }

    /** How many snapshots are poisoned in memory only. */
    int unrecorded() {
        return unrecorded.size();
    }

    /** The snapshot is gone. */
    void forget(long id) {
        unrecorded.remove(List.of(id));
    }

    /**
     * To be called within the transaction that makes a layer of an active; what is found wrong with it from then on counts only if that
     * fails. {@link #endCommit} must follow, whatever becomes of the transaction.
     *
     * @throws SnapshotException FAILED_PRECONDITION if the snapshot is poisoned
     */
    void beginCommit(SnapshotRecord active) throws SnapshotException {
        Optional<Poison> poison = Optional.ofNullable(active.poison()).or(() -> unrecorded.beginCommit(active.id()));
        if (poison.isPresent()) {
            throw Failures.poisoned(active.key(), poison.get());
        }
    }

    /** @param isLayer whether the transaction has succeeded */
    void endCommit(long id, boolean isLayer) {
        unrecorded.endCommit(id, isLayer);
        if (!isLayer) {
            recordSoon();
        }
    }

    /** Waits a bounded time for a record that is being written. */
    @Override
    public void close() {
        recorder.shutdown();
        try {
            if (!recorder.awaitTermination(STOP_WAIT_MILLIS, TimeUnit.MILLISECONDS)) {
                LOG.log(WARNING, "the record of a poison is left behind", "snapshots", unrecorded.size());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static boolean canBePoisoned(SnapshotRecord snapshot) {
        return snapshot.kind() == RecordKind.ACTIVE && snapshot.poison() == null;
    }
}
