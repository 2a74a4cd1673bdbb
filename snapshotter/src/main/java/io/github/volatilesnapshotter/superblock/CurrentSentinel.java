package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The sentinel that stands now on one superblock, and how the next one comes to stand. Any thread may ask it; one at a time changes it:
 * the start, then whoever clears an epoch.
 */
final class CurrentSentinel implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(CurrentSentinel.class.getName());

    /** Mounts that are tried in a row while new errors keep coming. */
    private static final int MAX_TRIES = 3;

    private final Device device;
    private final Path pool;
    private final Sentinel.Places places;
    private final OverlayMounter mounter;
    private final Metrics metrics;

    /** Null before the start, and while a new one can't be mounted. */
    private volatile @Nullable Sentinel sentinel;

    CurrentSentinel(Device device, Path pool, Sentinel.Places places, OverlayMounter mounter, Metrics metrics) {
        this.device = device;
        this.pool = pool;
        this.places = places;
        this.mounter = mounter;
        this.metrics = metrics;
    }

    /** Takes over the one that an earlier daemon left mounted; whether one stands. */
    boolean adopt() throws SyscallException {
        if (sentinel != null) {
            return true;
        }
        sentinel = Sentinel.adopt(places, MountInfo.below(places.mountPoint())).orElse(null);
        return sentinel != null;
    }

    /** What it has to report; EIO where none stands. Under a microsecond, never waits for the disk. */
    Optional<Errno> error() {
        Sentinel asked = sentinel;
        return asked == null ? Optional.of(Errno.EIO) : asked.writebackError();
    }

    /**
     * Marks the superblock's error as seen: the one place where that is done. That it is reported here is no failure, it was looked for;
     * if it is not, somebody else has consumed it before. Writes the whole filesystem back.
     */
    void consumeError() throws SyscallException {
        Optional<Errno> unseen = Optional.empty();
        try (Fd directory = Fd.openDirectory(pool)) {
            Sync.syncfs(directory);
        } catch (SyscallException e) {
            if (!e.operation().equals("syncfs")) {
                throw e;
            }
            unseen = Optional.of(e.errno());
        }
        CrashPoint.ERROR_SEEN.reached();
        if (unseen.isPresent()) {
            LOG.log(
                    WARNING,
                    "an unseen writeback error is cleared",
                    "device",
                    device,
                    "errno",
                    unseen.get().name());
            metrics.unseenErrorCleared();
        }
    }

    /**
     * Puts a new one in the place of the old; an error that is unseen is consumed.
     *
     * @throws SuperblockUnavailableException if errors come faster than they are consumed; none stands then
     */
    void renew() throws SyscallException, SuperblockUnavailableException {
        close();
        SyscallException refused = null;
        for (int tries = 0; tries < MAX_TRIES; tries++) {
            try {
                sentinel = Sentinel.create(places, mounter);
                return;
            } catch (SyscallException e) {
                if (!e.errno().is(Errno.EIO)) {
                    throw e;
                }
                refused = e;
            }
            consumeError();
        }
        throw new SuperblockUnavailableException(
                "writeback errors on device " + device + " keep coming: no sentinel could be mounted (EIO)",
                device,
                Errno.EIO,
                refused);
    }

    /** Closes its descriptor and leaves it mounted: it watches until the next daemon comes. */
    @Override
    public void close() {
        Sentinel left = sentinel;
        sentinel = null;
        if (left != null) {
            left.close();
        }
    }
}
