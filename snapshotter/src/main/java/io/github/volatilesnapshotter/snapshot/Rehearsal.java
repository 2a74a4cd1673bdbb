package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.EventFd;
import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.stream.LongStream;

/**
 * Poisons some snapshots that nobody has, in records of its own that are deleted again. An error is rare, and the first one after
 * a start would meet code that was never loaded, let alone compiled. The start-up cache gets it from here too.
 *
 * <p>On a thread of its own, of low priority, after the start; a failure does no harm.
 */
final class Rehearsal implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(Rehearsal.class.getName());

    /** Together enough calls for the compiler, which begins at 200. */
    private static final int TURNS = 4;

    private static final long SNAPSHOTS = 64;

    private static final int QUESTIONS = 300;

    private static final Duration STOP_WAIT = Duration.ofSeconds(2);

    private final Path file;
    private final Machine machine;
    private final Runnable question;
    private final Thread thread;

    private volatile boolean isClosed;

    Rehearsal(Path file, Machine machine, Runnable question) {
        this.question = question;
        this.file = file;
        this.machine = machine;
        this.thread = Thread.ofPlatform().name("rehearsal").daemon().unstarted(this::run);
    }

    /**
     * @param file for the records; not on the watched superblock, and replaced if it is there
     * @param question asks the overlays that there are; run often
     */
    static Rehearsal start(Path file, Machine machine, Runnable question) {
        Rehearsal rehearsal = new Rehearsal(file, machine, question);
        rehearsal.thread.start();
        return rehearsal;
    }

    private void run() {
        try {
            Niceness.yieldToOthers();
            poisonSome();
        } catch (IOException | MetadataException | RuntimeException e) {
            LOG.log(DEBUG, "a poison could not be rehearsed", "failure", e);
        }
    }

    /** All of it, on this thread. */
    void poisonSome() throws IOException, MetadataException {
        for (int turn = 0; turn < QUESTIONS && !isClosed; turn++) {
            question.run();
        }
        deleteFiles();
        try (SnapshotStore store = SqliteSnapshotStore.open(file)) {
            for (int turn = 0; turn < TURNS && !isClosed; turn++) {
                poison(store, turn * SNAPSHOTS);
            }
        } finally {
            deleteFiles();
        }
    }

    private void poison(SnapshotStore store, long idsAbove) throws MetadataException, SyscallException {
        List<Long> ids = LongStream.rangeClosed(idsAbove + 1, idsAbove + SNAPSHOTS)
                .boxed()
                .toList();
        for (long id : ids) {
            int _ = store.<Integer, RuntimeException>ordered(transaction -> {
                transaction.insert(snapshot(id));
                return 1;
            });
        }
        // Of no file: its fsync fails too.
        try (EventFd failing = EventFd.create();
                Poisoner poisoner = new Poisoner(store, _ -> {})) {
            List<Poisoner.Verdict> verdicts =
                    Inquiry.verdicts(ids, _ -> Sync.fsyncError(failing.fd()), machine.superblock());
            showUnrecorded(store, poisoner, verdicts.subList(0, verdicts.size() - 1));
            boolean isRecorded = poisoner.poison(verdicts);
            if (!isRecorded || store.count(snapshot -> snapshot.poison() == null) > 0) {
                throw new IllegalStateException("not all was recorded in " + file);
            }
        }
    }

    /** As a Stat that comes upon it. */
    private void showUnrecorded(SnapshotStore store, Poisoner poisoner, List<Poisoner.Verdict> verdicts) {
        Infos infos = new Infos(poisoner, new LostLayers(store, new Layout(file.resolveSibling("nowhere"))));
        for (Poisoner.Verdict verdict : verdicts) {
            boolean _ = poisoner.condemn(List.of(verdict));
            boolean isShown = store.find(verdict.id())
                    .map(snapshot -> infos.of(snapshot, ""))
                    .filter(info -> info.labels().containsKey(Labels.POISONED))
                    .isPresent();
            if (!isShown) {
                throw new IllegalStateException("the poison of " + verdict.id() + " is not shown");
            }
        }
    }

    private SnapshotRecord snapshot(long id) {
        Instant now = Instant.now();
        return new SnapshotRecord(
                id,
                "rehearsal/" + id,
                RecordKind.ACTIVE,
                SnapshotRecord.NO_PARENT,
                now,
                now,
                Map.of("rehearsal", "true"),
                Machine.POOL,
                machine.newUpper(Role.VOLATILE),
                null,
                null);
    }

    private void deleteFiles() throws IOException {
        for (String suffix : List.of("", "-wal", "-shm")) {
            Files.deleteIfExists(file.resolveSibling(file.getFileName() + suffix));
        }
    }

    /** Ends after the turn that it is at, and leaves no file; waits a bounded time for that. */
    @Override
    public void close() {
        isClosed = true;
        try {
            if (thread.isAlive() && !thread.join(STOP_WAIT)) {
                LOG.log(WARNING, "a rehearsal is left behind", "file", file);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
