package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Ext4Errors;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.OverlayLayers;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * One superblock on which uppers lie, and its error state.
 *
 * <h2>What the kernel gives</h2>
 *
 * A failed writeback moves the superblock's error sequence {@code s_wb_err} and leaves it <i>unseen</i> until somebody calls
 * {@code syncfs}. While it is unseen every volatile mount is refused with EIO; a volatile overlay that was mounted before answers
 * each fsync with the error, for ever, seen or not.
 *
 * <h2>What this class keeps true</h2>
 *
 * <ul>
 *   <li>A sentinel is mounted. If it is clean there was no error since it was mounted, and so there is no unseen one: a witness
 *       that is opened and then finds the sentinel clean has a sample that tells the truth.
 *   <li>An error is cleared by {@code syncfs} only after every overlay on the superblock was asked ({@link ErrorEpochs}).
 *   <li>What no writeback error shows is found by the write probe ({@link WriteProbe}).
 *   <li>Both together are the superblock's {@link State} ({@link StateMachine}).
 * </ul>
 *
 * All methods may be called from any thread. Those that answer a request each wait for the disk no longer than {@value
 * #EPOCH_WAIT_MILLIS} ms, but for what the calls of the kernel themselves take.
 */
public final class WatchedSuperblock implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(WatchedSuperblock.class.getName());

    /** Mounts and witnesses that are tried in a row while new errors keep coming. */
    private static final int MAX_TRIES = 3;

    private static final long EPOCH_WAIT_MILLIS = 10_000;

    /** The pace of a watch whose superblock is not healthy, if its interval is longer. */
    private static final long SICK_LOOK_NANOS = TimeUnit.SECONDS.toNanos(1);

    private static final int TRACE_LEAD_MICROS = 2_000;
    private static final long TRACE_LEAD_NANOS = TimeUnit.MICROSECONDS.toNanos(TRACE_LEAD_MICROS);

    private final Device device;
    private final Path pool;
    private final MountInfo mount;
    private final Sentinel.Places places;
    private final OverlayMounter mounter;
    private final WatchSettings settings;
    private final Metrics metrics;
    private final StateMachine machine;
    private final ErrorEpochs epochs;
    private final WriteProbe probe;
    private final FailureNames names;

    private volatile @Nullable SuperblockListener listener;
    private volatile Runnable wake = () -> {};

    /** Written by the watch's thread only. */
    private long judgedProbe;

    private boolean isProbeRefused;
    private boolean isGoneTold;

    private WatchedSuperblock(
            MountInfo mount,
            Path pool,
            Sentinel.Places places,
            OverlayMounter mounter,
            WatchSettings settings,
            Metrics metrics) {
        this.device = mount.device();
        this.mount = mount;
        this.pool = pool;
        this.places = places;
        this.mounter = mounter;
        this.settings = settings;
        this.metrics = metrics;
        FreeSpace free = new FreeSpace(device, pool);
        metrics.fileSystemRoom(free::availableBytes, free::availableInodes);
        this.machine = new StateMachine(device, System::nanoTime, this::changed);
        this.epochs = new ErrorEpochs(
                device,
                new CurrentSentinel(device, pool, places, mounter, metrics),
                new DiskCheck(pool),
                machine,
                metrics,
                () -> wake.run());
        this.probe = new WriteProbe(
                "superblock-probe-" + device,
                new WriteAttempt(pool, () -> Ext4Errors.count(device), free),
                () -> wake.run());
        this.names = new FailureNames(device, this::name, metrics);
    }

    /**
     * The superblock of {@code pool}, not watched yet.
     *
     * @param pool directory in which uppers are placed
     * @param lower an empty directory
     * @param stateDirectory the runtime directory
     */
    public static WatchedSuperblock of(
            Path pool, Path lower, Path stateDirectory, OverlayMounter mounter, WatchSettings settings, Metrics metrics)
            throws SyscallException {
        // From mountinfo and not from st_dev: on btrfs a subvolume's st_dev is not the superblock's.
        MountInfo mount = MountInfo.containing(pool);
        Sentinel.Places places = Sentinel.Places.of(pool, lower, stateDirectory, mount.device());
        return new WatchedSuperblock(mount, pool, places, mounter, settings, metrics);
    }

    /** What was known of the superblock when the daemon started. */
    public enum Past {
        /** A sentinel stood all the time and is clean: no writeback error since the last daemon looked. */
        CLEAN,
        /** A sentinel stood and reports an error: nothing mounted without a sample of its own can be trusted. */
        ERROR,
        /** No sentinel stood: the same. */
        UNKNOWN
    }

    /**
     * What an earlier daemon's sentinel says. Changes nothing: whatever can't be trusted any more is to be recorded before {@link #start},
     * after which a new sentinel may stand that knows of nothing.
     */
    public Past past() throws SyscallException {
        return epochs.adopt();
    }

    /**
     * Adopts the sentinel of an earlier daemon or mounts a new one, having asked the listener if there is an error. One that can't be
     * cleared, because the disk still fails, does not stop the start.
     *
     * @param mayMount whether a new sentinel may stand at once: all that can't be trusted is recorded, and what is found next can be. If not, none
     *     does before the listener says so
     * @throws SyscallException if a sentinel can't be mounted for another reason than a failing disk
     */
    public Past start(boolean mayMount) throws SyscallException {
        Entries.createDirectories(places.mountPoint(), 0700);
        boolean isClean = epochs.start(mayMount);
        probe.start();
        probe.request();
        return isClean ? Past.CLEAN : Past.UNKNOWN;
    }

    /** Who is asked about its overlays at each epoch; to be set before {@link #start}. */
    public void setListener(SuperblockListener told) {
        listener = told;
        epochs.setListener(told);
    }

    /** Called, from any thread, when the watch should look before its time. */
    void setWake(Runnable watchWake) {
        wake = watchWake;
    }

    public State state() {
        return machine.state();
    }

    /** Why it is in this state, for people; empty as long as nothing ever happened. */
    public String reason() {
        return machine.reason();
    }

    /** Tells the state and its reason between two changes of it, so that whoever begins to listen here misses none; must not wait. */
    public void tellState(BiConsumer<State, String> told) {
        machine.tell(told);
    }

    /** Epochs so far. One that began while a witness was open is an error that this witness reports. */
    public long epochs() {
        return epochs.begun();
    }

    /** What the latest epoch began with; EIO before the first. */
    public Errno latestError() {
        return epochs.latestError();
    }

    public Device device() {
        return device;
    }

    /** As in mountinfo. */
    public String fileSystemType() {
        return mount.fsType();
    }

    Path pool() {
        return pool;
    }

    /** How a part of this superblock is brought to disk without the rest, or why that can't be done. Asks the kernel each time. */
    public FileSystemLog.Finding findLog() throws SyscallException {
        return FileSystemLogs.find(mount, pool);
    }

    /** That the pool lies on. */
    public MountInfo mount() {
        return mount;
    }

    WatchSettings settings() {
        return settings;
    }

    /** Something on the superblock failed in a way that the write probe explains: it is asked at once. */
    public void suspect() {
        probe.request();
    }

    /** As {@link #suspect()}, if a call that failed so may have met a filesystem or disk in trouble. */
    public void suspect(Errno errno) {
        if (errno.is(Errno.EIO) || errno.is(Errno.EROFS) || errno.is(Errno.ESHUTDOWN) || errno.is(Errno.EUCLEAN)) {
            suspect();
        }
    }

    /** Waits, where an error stands in the way, for the attempt to clear it: at most {@value #EPOCH_WAIT_MILLIS} ms. */
    public void awaitClearing() {
        if (epochs.isOpen()) {
            var _ = epochs.awaitClean(EPOCH_WAIT_MILLIS);
        }
    }

    /**
     * Refuses what needs another state than the present one.
     *
     * @throws SuperblockUnavailableException with device, state, errno and reason
     */
    public void requireState(Predicate<State> fits) throws SuperblockUnavailableException {
        Optional<SuperblockUnavailableException> refusal = machine.refusal(fits);
        if (refusal.isPresent()) {
            throw refusal.get();
        }
    }

    /** Asks the sentinel, and begins an epoch if it has an error to report. Never waits for the disk. */
    void ask() {
        var _ = epochs.notice();
    }

    /**
     * The kernel has traced failed writebacks on this superblock, or on its block device. The event precedes the error's mark on the
     * superblock by some instructions of another processor: the sentinel is asked until it knows, for at most {@value
     * #TRACE_LEAD_MICROS} us.
     */
    void writebackFailed(List<FailedWriteback> failures) {
        probe.request();
        if (failures.stream().allMatch(FailedWriteback::isOfBlockDevice)) {
            // ext4's journal writes so, and has a mark of its own: the probe finds what comes of it.
            epochs.notice();
        } else {
            long begunNanos = System.nanoTime();
            while (!epochs.notice() && System.nanoTime() - begunNanos < TRACE_LEAD_NANOS) {
                Thread.onSpinWait();
            }
        }
        names.add(failures);
    }

    /**
     * One turn of the watch: asks the sentinel, judges the write probe, and goes on clearing what is to be cleared. Never waits for
     * the disk. One thread at a time.
     */
    void look() {
        if (epochs.notice()) {
            epochs.lookAgain();
            epochs.clearIfDue();
        }
        judgeProbe();
        machine.tick();
    }

    /** How long the watch may sleep: at most its interval, and not beyond what else time brings. */
    long nanosToNextLook() {
        long waitNanos =
                Math.min(TimeUnit.MILLISECONDS.toNanos(settings.intervalMillis()), epochs.nanosToNextAttempt());
        State state = machine.state();
        long probedNanos = probe.runningNanos();
        if (probedNanos > 0 && state != State.HUNG) {
            // Until the probe that is under way means a disk that hangs.
            long timeoutNanos = TimeUnit.MILLISECONDS.toNanos(settings.probeTimeoutMillis());
            waitNanos = Math.min(waitNanos, Math.max(0, timeoutNanos - probedNanos));
        }
        // A quiet time ends of itself.
        return state == State.HEALTHY ? waitNanos : Math.min(waitNanos, SICK_LOOK_NANOS);
    }

    /** From one write probe to the next that nobody asks for. */
    long probeIntervalNanos() {
        long intervalNanos = TimeUnit.MILLISECONDS.toNanos(settings.probeIntervalMillis());
        // What was refused may pass, or turn out to be the end of the filesystem.
        return isProbeRefused ? Math.min(intervalNanos, SICK_LOOK_NANOS) : intervalNanos;
    }

    private void judgeProbe() {
        long runningMillis = TimeUnit.NANOSECONDS.toMillis(probe.runningNanos());
        if (runningMillis >= settings.probeTimeoutMillis()) {
            machine.probeHangs(settings.probeTimeoutMillis());
            return;
        }
        Optional<WriteProbe.Outcome> latest = probe.latest();
        if (latest.isEmpty() || latest.get().number() == judgedProbe) {
            return;
        }
        judgedProbe = latest.get().number();
        metrics.writeProbeTook(latest.get().tookNanos());
        switch (latest.get().answer()) {
            case ProbeAnswer.Takes _ -> {
                isProbeRefused = false;
                isGoneTold = false;
                machine.probeSucceeded();
            }
            case ProbeAnswer.Unasked(String why) -> {
                LOG.log(WARNING, "the write probe could not be made", "device", device, "cause", why);
                machine.probeUnasked();
            }
            case ProbeAnswer.Refused(Failure failure) -> {
                isProbeRefused = true;
                machine.probeFailed(failure);
                if (failure.isGone()) {
                    tellGone(failure);
                }
            }
        }
    }

    private void tellGone(Failure failure) {
        SuperblockListener told = listener;
        if (isGoneTold || told == null) {
            return;
        }
        LOG.log(
                ERROR,
                "the filesystem has stopped: it must be unmounted with everything on it, checked and mounted again",
                "device",
                device,
                "reason",
                failure.reason());
        told.gone(failure);
        isGoneTold = true;
    }

    private void name(List<FailedWriteback> failures) {
        SuperblockListener told = listener;
        if (told != null) {
            told.damaged(failures);
        }
    }

    private void changed(Transition transition) {
        boolean isWorse = transition.to().compareTo(transition.from()) > 0;
        LOG.log(
                isWorse ? WARNING : INFO,
                "superblock is " + transition.to().word(),
                "device",
                device,
                "before",
                transition.from().word(),
                "reason",
                transition.reason());
        metrics.superblockChanged(transition.to().word());
        SuperblockListener told = listener;
        if (told != null) {
            told.changed(transition);
        }
    }

    /**
     * A witness for a durable snapshot on this superblock: its sync reports every error from now on and none from before. Clears
     * an unseen error first.
     *
     * @throws SuperblockUnavailableException if errors keep coming
     */
    public Witness openWitness() throws SyscallException, SuperblockUnavailableException {
        long deadlineNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(EPOCH_WAIT_MILLIS);
        for (int tries = 0; tries < MAX_TRIES; tries++) {
            long begun = epochs.begun();
            Fd directory = Fd.openDirectory(pool);
            // First opened, then asked: clean means that there was nothing unseen when the descriptor took its sample.
            if (epochs.isClean()) {
                return new Witness(directory, begun);
            }
            directory.close();
            epochs.notice();
            awaitClean(deadlineNanos);
        }
        Errno errno = epochs.latestError();
        throw new SuperblockUnavailableException(
                "writeback errors on device " + device + " keep coming (" + errno.name() + ")", device, errno, null);
    }

    private void awaitClean(long deadlineNanos) {
        var _ = epochs.awaitClean(TimeUnit.NANOSECONDS.toMillis(Math.max(0, deadlineNanos - System.nanoTime())));
    }

    /**
     * The error that the superblock has had since the witness was opened, if any: what {@link Witness#sync} would report, but for what
     * still is to be written. Flushes and consumes nothing.
     *
     * @throws SuperblockUnavailableException after {@link #close}: nobody knows any more
     */
    public Optional<Errno> errorSince(Witness witness) throws SuperblockUnavailableException {
        return epochs.errorSince(witness.epochs());
    }

    /**
     * As {@link #openWitness}, for a snapshot that was there before: an error since {@link #past} is not cleared, because nobody would report
     * it any more.
     *
     * @return nothing if there was an error
     */
    public Optional<Witness> resumeWitness() throws SyscallException {
        Fd directory = Fd.openDirectory(pool);
        if (epochs.isClean()) {
            return Optional.of(new Witness(directory, epochs.begun()));
        }
        directory.close();
        return Optional.empty();
    }

    /**
     * As {@link #mountVolatile}, for an upper that was there before: an error since {@link #past} is not cleared.
     *
     * @return nothing if there was an error
     */
    public Optional<VolatileOverlay> resumeVolatile(OverlayLayers layers, Path target) throws SyscallException {
        try {
            mounter.mount(layers, true, target);
        } catch (SyscallException e) {
            if (e.errno().is(Errno.EIO) && !epochs.isClean()) {
                return Optional.empty();
            }
            throw e;
        }
        VolatileOverlay overlay = openedOrDetached(target);
        // The error may have come just before the mount, and have been cleared by somebody else.
        if (epochs.isClean()) {
            return Optional.of(overlay);
        }
        overlay.detach();
        return Optional.empty();
    }

    /**
     * A sentinel of this pool that stands on another superblock: the daemon before had its pool on another filesystem than the one that
     * is found there now.
     *
     * @param pool as given to {@link #of}, as what follows
     * @return where it is mounted
     */
    public static Optional<Path> sentinelElsewhere(Path pool, Path stateDirectory) throws SyscallException {
        return Sentinel.elsewhere(pool, stateDirectory);
    }

    /**
     * Mounts a volatile overlay whose upper lies on this superblock. A mount that is refused because of an unseen error opens an
     * epoch, and is tried again when that is cleared.
     *
     * @throws SuperblockUnavailableException if it is still refused after a bounded number of tries
     * @throws SyscallException if the mount failed for another reason
     */
    public VolatileOverlay mountVolatile(OverlayLayers layers, Path target)
            throws SyscallException, SuperblockUnavailableException {
        SyscallException refused = null;
        long deadlineNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(EPOCH_WAIT_MILLIS);
        for (int tries = 0; tries < MAX_TRIES; tries++) {
            try {
                mounter.mount(layers, true, target);
                return openedOrDetached(target);
            } catch (SyscallException e) {
                // EIO and not the error's own errno: ovl_fill_super answers EIO to any unseen error.
                if (!e.errno().is(Errno.EIO)) {
                    throw e;
                }
                refused = e;
            }
            if (!epochs.notice() && tries > 0) {
                // The sentinel is clean, and was a moment ago: it is no unseen error.
                suspect();
                throw refused;
            }
            awaitClean(deadlineNanos);
        }
        Errno errno = epochs.latestError();
        throw new SuperblockUnavailableException(
                "volatile mount refused " + MAX_TRIES + " times: unseen writeback error on device " + device + " ("
                        + errno.name() + ")",
                device,
                errno,
                refused);
    }

    /** A mount that can't be opened, for want of descriptors, would be left to nobody. */
    private static VolatileOverlay openedOrDetached(Path target) throws SyscallException {
        try {
            return VolatileOverlay.at(target);
        } catch (SyscallException e) {
            try {
                VolatileOverlay.detach(target);
            } catch (SyscallException detaching) {
                e.addSuppressed(detaching);
            }
            throw e;
        }
    }

    /** Leaves the sentinel mounted: it watches until the next daemon comes. */
    @Override
    public void close() {
        names.close();
        probe.close();
        epochs.close();
    }

    /** Detaches the sentinel and deletes what it left on the superblock. */
    public void closeAndUnmount() throws SyscallException {
        close();
        Sentinel.remove(places);
    }
}
