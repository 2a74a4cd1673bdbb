package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.INFO;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.BootId;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.Flock;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.OpenFileLimit;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import io.github.volatilesnapshotter.metadata.TransactionNote;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.ErrorEpoch;
import io.github.volatilesnapshotter.superblock.FailedFiles;
import io.github.volatilesnapshotter.superblock.FailedWriteback;
import io.github.volatilesnapshotter.superblock.Failure;
import io.github.volatilesnapshotter.superblock.State;
import io.github.volatilesnapshotter.superblock.SuperblockListener;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.Transition;
import io.github.volatilesnapshotter.superblock.Watch;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import java.util.function.Predicate;

/** A snapshotter that has recovered what it found and watches its superblock: what the daemon holds while it serves. */
public final class RunningSnapshotter implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(RunningSnapshotter.class.getName());

    /** Together with {@code grpc.stop_timeout_millis} less than what systemd gives a stop. */
    private static final long CLOSE_WAIT_MILLIS = 12_000;

    private static final double NANOS_PER_SECOND = 1e9;

    /** How often the watch looks at the superblock until once is looked for the directories of layers. */
    private static final long LOOKS_OF_WATCH = 10;

    private final Opened opened;
    private final SnapshotterSettings settings;
    private final SnapshotStore store;
    private final Remains.Reading remains;
    private final WatchedSuperblock superblock;
    private final Machine machine;
    private final Trash trash;
    private final LostLayers lostLayers;
    private final Uppers uppers;
    private final OpenUppers openUppers;
    private final DisplacedOverlays displacedOverlays;
    private final EarlyWriteback earlyWriteback;
    private final SyncChoice syncChoice;
    private final LayerSync layerSync;
    private final PoisonReports poisonReports;
    private final Poisoner poisoner;
    private final Inquiry inquiry;
    private final DamageReports damageReports;
    private final OverlaySnapshotter snapshotter;
    private final Watch watch;
    private final List<BiConsumer<State, String>> stateListeners = new CopyOnWriteArrayList<>();
    private final Object errorLock = new Object();
    private Consumer<Boolean> errorListener = _ -> {};
    private boolean isErrorOpen;

    /**
     * Checks the machine, recovers, and begins to watch.
     *
     * @param listener told of every poison, also of what recovery finds
     * @throws StartException if it can't run here; nothing is changed then but for the poison of damaged snapshots
     */
    public static RunningSnapshotter start(SnapshotterSettings settings, Metrics metrics, Poisoning.Listener listener)
            throws StartException {
        Layout layout = new Layout(settings.root());
        StartChecks.checkPath(settings.root());
        Opened opened = new Opened();
        try {
            RunningSnapshotter running = open(settings, layout, metrics, opened);
            running.poisonReports.addListener(listener);
            running.syncChoice.check();
            running.recover(layout);
            running.registerGauges(metrics);
            running.trash.start();
            running.watch.start();
            running.earlyWriteback.start();
            Rehearsal rehearsal = Rehearsal.start(
                    settings.state().resolve("rehearsal.db"),
                    running.machine,
                    // Asks what there is, as the beginning of an epoch does.
                    () -> running.inquiry.lookAtEpoch(Errno.EIO));
            opened.add(rehearsal::close);
            return running;
        } catch (SyscallException | SuperblockUnavailableException e) {
            opened.closeAfter(e);
            throw new StartException("root " + layout.root() + " can't be used: " + e.getMessage(), e);
        } catch (MetadataException e) {
            opened.closeAfter(e);
            throw new StartException("metadata can't be used: " + e.getMessage(), e);
        } catch (StartException | RuntimeException e) {
            opened.closeAfter(e);
            throw e;
        }
    }

    private static RunningSnapshotter open(SnapshotterSettings settings, Layout layout, Metrics metrics, Opened opened)
            throws SyscallException, MetadataException, StartException {
        if (!Entries.exists(layout.root())) {
            StartChecks.checkMayBegin(layout.root(), settings.state());
        }
        Entries.createDirectories(layout.root(), 0711);
        StartChecks.check(layout.root());
        lock(layout.lock(), "root " + layout.root(), opened);
        // The sentinels are mounted there: two daemons would take each other's away.
        Entries.createDirectories(settings.state(), 0700);
        lock(settings.state().resolve("lock"), "state directory " + settings.state(), opened);
        StartChecks.checkPool(layout, settings.state());
        if (Entries.exists(layout.snapshots())) {
            StartChecks.checkRecords(layout);
        }
        // Before anything is made in what may be the place at which the root's filesystem is not mounted.
        StartChecks.checkMayBegin(layout.root(), settings.state());
        layout.create();
        Remains.Reading remains = Remains.begin(layout);
        TransactionNote note = TransactionNote.keptIn(Layout.transactionNote(settings.state()), layout.period());
        SqliteSnapshotStore store = SqliteSnapshotStore.open(layout.database(), note, new StoreReports(metrics));
        opened.add(store::close);
        metrics.queueLength("metadata_writers", store::waitingWriters);
        return new RunningSnapshotter(opened, store, settings, layout, metrics, remains);
    }

    /** What the superblock has to tell. */
    private final class SuperblockEvents implements SuperblockListener {
        @Override
        public void begun(ErrorEpoch epoch) {
            errorIs(true);
        }

        @Override
        public boolean look(ErrorEpoch epoch) {
            return inquiry.lookAtEpoch(epoch.errno());
        }

        @Override
        public void damaged(List<FailedWriteback> failures) {
            damageReports.name(failures);
        }

        @Override
        public void storesData() {
            store.distrustDisk();
        }

        @Override
        public void cleared(ErrorEpoch epoch) {
            errorIs(false);
            // The records lie on the superblock too.
            store.distrustDisk();
        }

        @Override
        public void gone(Failure failure) {
            inquiry.poisonAll(failure.errno());
        }

        @Override
        public void changed(Transition transition) {
            stateListeners.forEach(
                    told -> told.accept(transition.to(), condition(transition.to(), transition.reason())));
        }
    }

    private static void lock(Path file, String what, Opened opened) throws SyscallException, StartException {
        Fd lock = Fd.openReadWrite(file);
        opened.add(lock::close);
        if (!Flock.tryExclusive(lock)) {
            throw new StartException("another daemon serves " + what + " (it holds " + file + ")");
        }
    }

    private RunningSnapshotter(
            Opened opened,
            SnapshotStore store,
            SnapshotterSettings settings,
            Layout layout,
            Metrics metrics,
            Remains.Reading remains)
            throws SyscallException {
        this.opened = opened;
        this.remains = remains;
        this.settings = settings;
        this.store = store;
        this.superblock = WatchedSuperblock.of(
                layout.root(),
                layout.empty(),
                settings.state(),
                OverlayMounter.forKernel(KernelRelease.current()),
                settings.watch(),
                metrics);
        this.machine = new Machine(BootId.current(), superblock.device().toString());
        this.trash = new Trash(layout.trash());
        this.uppers = new Uppers(layout, superblock, trash);
        this.openUppers = new OpenUppers(settings.mostOpenUppers(), () -> uppers.overlays() + uppers.witnesses());
        this.displacedOverlays = new DisplacedOverlays(store, uppers);
        this.poisonReports = new PoisonReports(metrics);
        this.poisoner = new Poisoner(store, poisonReports::tell);
        this.lostLayers = new LostLayers(store, layout);
        this.syncChoice = new SyncChoice(settings.layerSync(), superblock, uppers);
        Usages usages = new Usages(layout, settings.usageCacheMillis());
        BegunWriteback begunWriteback = new BegunWriteback();
        this.layerSync =
                new LayerSync(layout, superblock, syncChoice, usages, begunWriteback, settings.commitTimeoutMillis());
        this.inquiry = new Inquiry(uppers, poisoner, machine, metrics);
        this.snapshotter = new OverlaySnapshotter(
                settings,
                layout,
                store,
                uppers,
                openUppers,
                poisoner,
                inquiry,
                layerSync,
                usages,
                trash,
                lostLayers,
                machine,
                new Admission(superblock, settings, metrics),
                metrics);
        this.damageReports = new DamageReports(
                layout,
                uppers,
                new FailedFiles(layout.root(), superblock.mount()),
                new DamagedFiles(layout, store),
                poisoner);
        this.earlyWriteback = new EarlyWriteback(
                layout,
                this::unpacked,
                begunWriteback,
                layerSync::isRunning,
                () -> superblock.state() == State.HEALTHY,
                settings.earlyWritebackIntervalMillis(),
                metrics);
        uppers.onDurable(earlyWriteback::begin);
        this.watch = Watch.of(superblock, metrics, poisoner::recordSoon);
        opened.add(trash::close);
        opened.add(poisonReports::close);
        opened.add(poisoner::close);
        opened.add(layerSync::close);
        opened.add(uppers::close);
        opened.add(superblock::close);
        opened.add(watch::close);
        opened.add(earlyWriteback::close);
        superblock.setListener(new SuperblockEvents());
    }

    /** What is poisoned nobody wants. */
    private List<Long> unpacked() {
        return uppers.witnessed().stream()
                // One without a record is being prepared, and its record will tell.
                .filter(id -> store.find((long) id)
                        .map(active -> RoleRule.isUnpack(active.key(), active.labels())
                                && poisoner.of(active).isEmpty())
                        .orElse(true))
                .toList();
    }

    private void recover(Layout layout) throws SyscallException, SuperblockUnavailableException, StartException {
        Instant startedAt = Instant.now();
        // Else what could not be opened would be poisoned.
        OpenUppers.checkLimit(
                count(snapshot -> snapshot.upper() != null
                        && snapshot.upper().bootId().equals(machine.bootId())
                        && poisoner.of(snapshot).isEmpty()),
                OpenFileLimit.current());
        long begunNanos = System.nanoTime();
        Recovery recovery = new Recovery(
                layout, store, uppers, poisoner, poisonReports, trash, lostLayers, machine, remains.result());
        CrashPoint.START_OPENED.reached();
        recovery.adopt();
        CrashPoint.START_ADOPTED.reached();
        WatchedSuperblock.Past past = superblock.past();
        boolean isRecorded = judge(recovery, past, layout);
        // What the overlays say next must be recorded before a new sentinel stands, too.
        var _ = superblock.start(isRecorded && store.isWritable());
        var _ = inquiry.lookAtOverlays();
        RecoveryReport report = recovery.report();
        RecoveryReports.Start start = new RecoveryReports.Start(
                startedAt,
                machine.bootId(),
                device(),
                past == WatchedSuperblock.Past.CLEAN,
                count(_ -> true),
                TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begunNanos));
        List<Object> fields =
                new ArrayList<>(List.of("snapshots", start.snapshots(), "took_millis", start.tookMillis()));
        fields.addAll(List.of("watched", start.watched(), "findings", report.found()));
        fields.addAll(report.countsAsFields());
        LOG.log(INFO, "recovered", fields.toArray());
        LayerCheck layerCheck = new LayerCheck(layout, store, lostLayers, trash, report);
        AfterStart after = new AfterStart(
                layerCheck,
                () -> new RecoveryReports(layout.recovery()).write(start, report),
                List.of(layerCheck::lookAgain, store::keepNoted, displacedOverlays::look),
                () -> superblock.state() == State.HEALTHY,
                LOOKS_OF_WATCH * settings.watch().intervalMillis());
        opened.add(after::close);
        after.start();
    }

    /**
     * What can't be trusted is recorded before a new sentinel stands, which would tell the next start, should this one be killed, that all
     * was well. Where the disk takes no records, none stands before it does.
     *
     * @return whether it is recorded
     * @throws StartException if it can't be recorded for another reason, such as a full filesystem, or while a clean sentinel stands, which
     *     would tell the next start the same
     */
    private boolean judge(Recovery recovery, WatchedSuperblock.Past past, Layout layout)
            throws SyscallException, StartException {
        // Once more, as the records may have been written anew meanwhile.
        boolean isRecorded = recovery.judge(past) || poisoner.recordAll();
        boolean mayBeRecordedLater = !store.isWritable() && past != WatchedSuperblock.Past.CLEAN;
        if (!isRecorded && !mayBeRecordedLater) {
            throw new StartException("what can't be trusted any more could not be recorded in " + layout.database()
                    + ": see the log; if its filesystem is full, delete something in the upper (snapshots/ID/fs) of a container that is stopped;"
                    + " if its disk fails, start again when it has healed");
        }
        return isRecorded;
    }

    /** Told of each new state of the superblock, and at once of the one it is in, with device and reason for people; must not wait. */
    public void onState(BiConsumer<State, String> told) {
        superblock.tellState((state, reason) -> {
            stateListeners.add(told);
            told.accept(state, condition(state, reason));
        });
    }

    /**
     * Who is told that a writeback error was noticed (true), before the state changes and anything is done about it, and that it is cleared
     * (false); at once how it is now. What clients ask in between may be about what it has hit. Must not wait.
     */
    public void onError(Consumer<Boolean> told) {
        synchronized (errorLock) {
            errorListener = told;
            told.accept(isErrorOpen);
        }
    }

    private void errorIs(boolean open) {
        synchronized (errorLock) {
            isErrorOpen = open;
            errorListener.accept(open);
        }
    }

    private String condition(State state, String reason) {
        return "device " + device() + " is " + state.word() + (reason.isEmpty() ? "" : ": " + reason);
    }

    private void registerGauges(Metrics metrics) {
        metrics.snapshots(Metrics.Role.VIEW, () -> count(snapshot -> snapshot.kind() == RecordKind.VIEW));
        metrics.snapshots(Metrics.Role.COMMITTED, () -> count(snapshot -> snapshot.kind() == RecordKind.COMMITTED));
        metrics.snapshots(Metrics.Role.DURABLE, () -> count(snapshot -> isHealthy(snapshot, Role.DURABLE)));
        metrics.snapshots(Metrics.Role.VOLATILE, () -> count(snapshot -> isHealthy(snapshot, Role.VOLATILE)));
        metrics.snapshots(
                Metrics.Role.POISONED,
                () -> count(snapshot -> poisoner.of(snapshot).isPresent()));
        metrics.trashWaiting(trash::waiting);
        metrics.trashFailing(trash::failing);
        metrics.lostLayers(lostLayers::count);
        metrics.displacedOverlays(displacedOverlays::count);
        metrics.metadataWritable(store::isWritable);
        metrics.poisonUnrecorded(poisoner::unrecorded);
        metrics.queueLength("layer_sync", layerSync::running);
        metrics.openUppers("overlay", uppers::overlays);
        metrics.openUppers("witness", uppers::witnesses);
        metrics.openUppersBound(openUppers::bound);
        for (State state : State.values()) {
            metrics.superblockState(device(), state.word(), () -> superblock.state() == state);
        }
        metrics.lastLook(() -> watch.nanosSinceLastLook() / NANOS_PER_SECOND);
    }

    private int count(Predicate<SnapshotRecord> predicate) {
        return store.count(predicate);
    }

    private boolean isHealthy(SnapshotRecord snapshot, Role role) {
        return snapshot.upper() != null
                && snapshot.upper().role() == role
                && poisoner.of(snapshot).isEmpty();
    }

    public Snapshotter snapshotter() {
        return snapshotter;
    }

    /**
     * Copies all records into a file in the runtime directory, which is the caller's to delete. Waits for no disk but that of the runtime
     * directory. One call at a time.
     */
    public Path copyRecords() throws SnapshotException {
        Path copy = settings.state().resolve("backup.db");
        try {
            Files.deleteIfExists(copy);
            store.copyTo(copy);
            return copy;
        } catch (MetadataException e) {
            throw new SnapshotException(Category.UNAVAILABLE, "the records can't be copied: " + e.getMessage(), e);
        } catch (IOException e) {
            throw new SnapshotException(Category.UNAVAILABLE, "the records can't be copied: " + e, e);
        }
    }

    /** {@code major:minor} of the superblock on which the uppers lie. */
    public String device() {
        return superblock.device().toString();
    }

    /** How that superblock is. */
    public State superblockState() {
        return superblock.state();
    }

    /**
     * Stops watching and closes the records; leaves every mount, so that containers run on. On a disk that hangs this returns after
     * {@value #CLOSE_WAIT_MILLIS} ms; what is left is closed when the disk answers again, the lock on the root last, so that no other
     * daemon meets what this one still does.
     *
     * @throws MetadataException if the records could not be closed
     * @throws TimeoutException if something is left to be closed
     */
    @Override
    public void close() throws MetadataException, TimeoutException {
        FutureTask<Boolean> closing = new FutureTask<>(() -> {
            opened.close();
            return true;
        });
        Thread.ofPlatform().name("snapshotter-close").daemon().start(closing);
        try {
            var _ = closing.get(CLOSE_WAIT_MILLIS, TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof MetadataException failure) {
                throw failure;
            }
            throw new IllegalStateException("closing " + device(), e.getCause());
        } catch (TimeoutException e) {
            TimeoutException timeout = new TimeoutException("not closed within " + CLOSE_WAIT_MILLIS + " ms: "
                    + condition(superblock.state(), superblock.reason()));
            timeout.initCause(e);
            throw timeout;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while " + device() + " is closed", e);
        }
    }

    /** Also detaches every overlay and the sentinel. For tests: containers lose their root, and the next start trusts nothing. */
    public void closeAndUnmount() throws MetadataException, SyscallException, TimeoutException {
        watch.close();
        try {
            for (long id : uppers.mounted()) {
                uppers.release(id);
            }
            superblock.closeAndUnmount();
        } finally {
            close();
        }
    }
}
