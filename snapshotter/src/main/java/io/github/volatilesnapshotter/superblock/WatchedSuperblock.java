package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.OverlayLayers;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.nio.file.Path;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;

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
 *   <li>An error is cleared by {@code syncfs} only after every overlay on the superblock was asked, and they are asked once more
 *       when the new sentinel stands: what came in between is in their samples and not in the sentinel's.
 *   <li>One epoch at a time: {@link #epochLock} is held from the first question to the new sentinel. It is never held while
 *       mounting somebody else's overlay.
 * </ul>
 *
 * All methods may be called from any thread. Those that clear an error write the whole filesystem back and take as long as that.
 */
public final class WatchedSuperblock implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(WatchedSuperblock.class.getName());

    /** Mounts and clearings that are tried in a row while new errors keep coming. */
    private static final int MAX_TRIES = 3;

    private static final long EPOCH_WAIT_MILLIS = 10_000;

    private final Device device;
    private final Path pool;
    private final Sentinel.Places places;
    private final OverlayMounter mounter;
    private final Metrics metrics;
    private final ReentrantLock epochLock = new ReentrantLock();

    private volatile ErrorEpoch.Listener listener = epoch -> {};
    private volatile long epochs;

    /** Guarded by {@link #epochLock}; empty only before {@link #start} and while a new one can't be mounted. */
    private Optional<Sentinel> sentinel = Optional.empty();

    private WatchedSuperblock(
            Device device, Path pool, Sentinel.Places places, OverlayMounter mounter, Metrics metrics) {
        this.device = device;
        this.pool = pool;
        this.places = places;
        this.mounter = mounter;
        this.metrics = metrics;
    }

    /**
     * The superblock of {@code pool}, not watched yet.
     *
     * @param pool directory in which uppers are placed
     * @param lower an empty directory
     * @param stateDirectory the runtime directory
     */
    public static WatchedSuperblock of(
            Path pool, Path lower, Path stateDirectory, OverlayMounter mounter, Metrics metrics)
            throws SyscallException {
        // From mountinfo and not from st_dev: on btrfs a subvolume's st_dev is not the superblock's.
        Device device = MountInfo.containing(pool).device();
        Sentinel.Places places = Sentinel.Places.of(pool, lower, stateDirectory, device);
        return new WatchedSuperblock(device, pool, places, mounter, metrics);
    }

    /** What was known of the superblock when the daemon started. */
    public enum Past {
        /** A sentinel stood all the time and is clean: no writeback error since the last daemon looked. */
        CLEAN,
        /** A sentinel stood and reports an error, or there was none: nothing mounted without a sample of its own can be trusted. */
        UNKNOWN
    }

    /**
     * Adopts the sentinel of an earlier daemon or mounts a new one. Clears an unseen error, having asked the listener.
     *
     * @throws UnseenErrorException if the error can't be cleared
     */
    public Past start() throws SyscallException, UnseenErrorException {
        epochLock.lock();
        try {
            Entries.createDirectories(places.mountPoint(), 0700);
            sentinel = Sentinel.adopt(places, MountInfo.ofSelf());
            if (sentinel.isPresent() && sentinel.get().writebackError().isEmpty()) {
                return Past.CLEAN;
            }
            if (sentinel.isPresent()) {
                endEpoch(beginEpoch(sentinel.get().writebackError().orElse(Errno.EIO)));
            } else {
                renewSentinel();
            }
            return Past.UNKNOWN;
        } finally {
            epochLock.unlock();
        }
    }

    /** Who is asked about its overlays at each epoch; to be set before {@link #start}. */
    public void setListener(ErrorEpoch.Listener listener) {
        this.listener = listener;
    }

    /** Epochs so far. One that began while a witness was open is an error that this witness reports. */
    public long epochs() {
        return epochs;
    }

    public Device device() {
        return device;
    }

    /**
     * Asks the sentinel, and ends the epoch it reports. Under a microsecond while all is well.
     *
     * @return whether the superblock is without unseen errors now
     */
    public boolean check() {
        epochLock.lock();
        try {
            Optional<Errno> error = sentinel.flatMap(Sentinel::writebackError);
            if (sentinel.isPresent() && error.isEmpty()) {
                return true;
            }
            endEpoch(beginEpoch(error.orElse(Errno.EIO)));
            return true;
        } catch (SyscallException | UnseenErrorException e) {
            LOG.log(WARNING, "superblock " + device + " has writeback errors that can't be cleared", e);
            return false;
        } finally {
            epochLock.unlock();
        }
    }

    /**
     * A witness for a durable snapshot on this superblock: its sync reports every error from now on and none from before. Clears
     * an unseen error first.
     *
     * @throws UnseenErrorException if errors keep coming
     */
    public Witness openWitness() throws SyscallException, UnseenErrorException {
        for (int tries = 0; tries < MAX_TRIES; tries++) {
            Fd directory = Fd.openDirectory(pool);
            // First opened, then asked: clean means that there was nothing unseen when the descriptor took its sample.
            boolean isClean = false;
            try {
                isClean = isClean();
            } finally {
                if (!isClean) {
                    directory.close();
                }
            }
            if (isClean) {
                return new Witness(directory, epochs);
            }
            clearUnseenError();
        }
        throw new UnseenErrorException(
                "writeback errors on device " + device + " keep coming", device, Errno.EIO, null);
    }

    /**
     * Mounts a volatile overlay whose upper lies on this superblock. A mount that is refused because of an unseen error opens an
     * epoch, and is tried again when that is cleared.
     *
     * @throws UnseenErrorException if it is still refused after a bounded number of tries
     * @throws SyscallException if the mount failed for another reason
     */
    public VolatileOverlay mountVolatile(OverlayLayers layers, Path target)
            throws SyscallException, UnseenErrorException {
        SyscallException refused = null;
        for (int tries = 0; tries < MAX_TRIES; tries++) {
            try {
                mounter.mount(layers, true, target);
                return VolatileOverlay.at(target);
            } catch (SyscallException e) {
                // EIO and not the error's own errno: ovl_fill_super answers EIO to any unseen error.
                if (!e.errno().equals(Errno.EIO)) {
                    throw e;
                }
                refused = e;
            }
            clearUnseenError();
        }
        throw new UnseenErrorException(
                "volatile mount refused " + MAX_TRIES + " times: unseen writeback error on device " + device,
                device,
                Errno.EIO,
                refused);
    }

    /** Ends the epoch that a refused mount showed, unless somebody else has ended it meanwhile. */
    private void clearUnseenError() throws SyscallException, UnseenErrorException {
        lockEpoch();
        try {
            Optional<Errno> error = sentinel.flatMap(Sentinel::writebackError);
            if (sentinel.isEmpty() || error.isPresent()) {
                endEpoch(beginEpoch(error.orElse(Errno.EIO)));
            }
        } finally {
            epochLock.unlock();
        }
    }

    /** For those who answer a request: ending an epoch writes a filesystem back, and that may take for ever on a hung device. */
    private void lockEpoch() throws UnseenErrorException {
        try {
            if (epochLock.tryLock(EPOCH_WAIT_MILLIS, TimeUnit.MILLISECONDS)) {
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        throw new UnseenErrorException(
                "a writeback error on device " + device + " is still being cleared after " + EPOCH_WAIT_MILLIS + " ms",
                device,
                Errno.EIO,
                null);
    }

    private boolean isClean() throws UnseenErrorException {
        lockEpoch();
        try {
            return sentinel.isPresent() && sentinel.get().writebackError().isEmpty();
        } finally {
            epochLock.unlock();
        }
    }

    @SuppressWarnings("NonAtomicVolatileUpdate") // written with epochLock held
    private ErrorEpoch beginEpoch(Errno errno) {
        epochs++;
        ErrorEpoch epoch = new ErrorEpoch(device, errno, Instant.now());
        LOG.log(WARNING, "writeback error", "device", device, "errno", errno.name());
        listener.look(epoch);
        return epoch;
    }

    private void endEpoch(ErrorEpoch epoch) throws SyscallException, UnseenErrorException {
        consumeError();
        renewSentinel();
        metrics.unseenErrorCleared();
        listener.look(epoch);
        listener.cleared(epoch);
        LOG.log(INFO, "writeback error cleared", "device", device);
    }

    /** The one place where an error is marked seen. That it is reported here is no failure: it was looked for. */
    private void consumeError() throws SyscallException {
        try (Fd directory = Fd.openDirectory(pool)) {
            Sync.syncfs(directory);
        } catch (SyscallException e) {
            if (!e.operation().equals("syncfs")) {
                throw e;
            }
            LOG.log(
                    INFO,
                    "syncfs reported the writeback error",
                    "device",
                    device,
                    "errno",
                    e.errno().name());
        }
    }

    private void renewSentinel() throws SyscallException, UnseenErrorException {
        sentinel.ifPresent(Sentinel::close);
        sentinel = Optional.empty();
        SyscallException refused = null;
        for (int tries = 0; tries < MAX_TRIES; tries++) {
            try {
                sentinel = Optional.of(Sentinel.create(places, mounter));
                return;
            } catch (SyscallException e) {
                if (!e.errno().equals(Errno.EIO)) {
                    throw e;
                }
                refused = e;
            }
            consumeError();
        }
        throw new UnseenErrorException(
                "writeback errors on device " + device + " keep coming: no sentinel could be mounted",
                device,
                Errno.EIO,
                refused);
    }

    /** Leaves the sentinel mounted: it watches until the next daemon comes. */
    @Override
    public void close() {
        epochLock.lock();
        try {
            sentinel.ifPresent(Sentinel::close);
            sentinel = Optional.empty();
        } finally {
            epochLock.unlock();
        }
    }

    /** Detaches the sentinel and deletes what it left on the superblock. */
    public void closeAndUnmount() throws SyscallException {
        close();
        Sentinel.remove(places);
    }
}
