package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.FileSystemStat;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.file.Path;

/**
 * What space a filesystem had left when it was last looked at. A full one is healthy, but refuses whatever is new: that is logged when it
 * begins and when it ends. Looked at by one thread, which may wait for the disk; any thread may ask.
 */
final class FreeSpace {
    private static final System.Logger LOG = System.getLogger(FreeSpace.class.getName());

    /** Of a full one. What is left then is too little for a snapshot, or for its first file. */
    private static final long MOST_LEFT_BYTES = 1 << 20;

    private final Device device;
    private final Path pool;
    private volatile long availableBytes;
    private volatile long availableInodes;
    private volatile boolean isFull;

    FreeSpace(Device device, Path pool) {
        this.device = device;
        this.pool = pool;
    }

    void look() {
        FileSystemStat stat;
        try {
            stat = FileSystemStat.of(pool);
        } catch (SyscallException e) {
            LOG.log(DEBUG, "the free space is not known", "failure", e);
            return;
        }
        availableBytes = stat.availableBytes();
        availableInodes = stat.availableInodes();
        boolean before = isFull;
        // btrfs makes inodes as it needs them, and tells of none.
        isFull = stat.availableBytes() < MOST_LEFT_BYTES || (stat.totalInodes() > 0 && stat.availableInodes() == 0);
        if (isFull != before) {
            LOG.log(
                    isFull ? WARNING : INFO,
                    isFull ? "the filesystem is full" : "the filesystem has room again",
                    "device",
                    device,
                    "available_bytes",
                    availableBytes,
                    "available_inodes",
                    availableInodes);
        }
    }

    boolean isFull() {
        return isFull;
    }

    /** For a process that has no share in what is reserved for root. */
    long availableBytes() {
        return availableBytes;
    }

    /** 0 where the filesystem counts none. */
    long availableInodes() {
        return availableInodes;
    }
}
