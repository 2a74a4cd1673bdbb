package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.linux.Stat;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.file.Path;
import java.util.Optional;

/**
 * A mounted volatile overlay and an open descriptor of its root directory. The kernel sampled the error sequence of the upper
 * superblock when it was mounted, and compares it at each fsync: 0.2 us, no I/O, nothing consumed, and once it reported an
 * error it does so for ever (5.12, commit 335d3fc57941). Asking the descriptor asks this overlay and no other, even after
 * somebody detached the mount.
 */
public final class VolatileOverlay implements AutoCloseable {
    private final Path mountPoint;
    private final Fd root;

    private VolatileOverlay(Path mountPoint, Fd root) {
        this.mountPoint = mountPoint;
        this.root = root;
    }

    /** Opens the root of the volatile overlay that is mounted at {@code mountPoint}. */
    public static VolatileOverlay at(Path mountPoint) throws SyscallException {
        return new VolatileOverlay(mountPoint, Fd.openDirectory(mountPoint));
    }

    public Path mountPoint() {
        return mountPoint;
    }

    /**
     * The error that the upper superblock had since this overlay was mounted, if any; none once this object is closed. Never
     * blocks on the device. Uses fsync: syncfs of an overlay that was remounted read-only answers 0.
     */
    public synchronized Optional<Errno> writebackError() {
        // Synchronized with close, so that a number that was given to another file meanwhile is never asked.
        if (!root.isOpen()) {
            return Optional.empty();
        }
        return Sync.fsyncError(root);
    }

    /**
     * Whether it is what is seen at its mount point: not once somebody has unmounted it, or has mounted something over it. True where the
     * kernel does not tell mounts apart (before Linux 5.8), and once this object is closed.
     */
    public synchronized boolean isInPlace() throws SyscallException {
        return !root.isOpen() || Stat.of(root).mountId() == Stat.of(mountPoint).mountId();
    }

    /** False once it has nothing to say any more. */
    public boolean isOpen() {
        return root.isOpen();
    }

    /** Detaches the mount, lazily, so that a busy one goes too; flushes nothing. One that is gone already is no error. */
    public void detach() throws SyscallException {
        close();
        detach(mountPoint);
    }

    /** Detaches what is mounted at {@code mountPoint}, if anything is. */
    public static void detach(Path mountPoint) throws SyscallException {
        try {
            Mounting.detach(mountPoint);
        } catch (SyscallException e) {
            if (!e.errno().equals(Errno.EINVAL) && !e.errno().equals(Errno.ENOENT)) {
                throw e;
            }
        }
    }

    /** Closes the descriptor; the mount stays. */
    @Override
    public synchronized void close() {
        root.close();
    }
}
