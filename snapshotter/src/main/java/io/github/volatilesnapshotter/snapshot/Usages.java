package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.linux.TreeUsage;
import io.github.volatilesnapshotter.metadata.RecordedUsage;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/**
 * Counts what uppers hold. That of an active is remembered briefly: the kubelet asks for each container every ten seconds, and
 * counting walks the tree. Holds at most one entry for each active snapshot. Any thread.
 */
final class Usages {
    private final Layout layout;
    private final long lifeNanos;
    private final Map<Long, Counted> remembered = new ConcurrentHashMap<>();

    Usages(Layout layout, long lifeMillis) {
        this.layout = layout;
        this.lifeNanos = TimeUnit.MILLISECONDS.toNanos(lifeMillis);
    }

    /** What is remembered of an active, or else is counted now. */
    Usage ofActive(long id, String key, Cancellation cancellation) throws SnapshotException {
        Counted known = remembered.get(id);
        if (known != null && System.nanoTime() - known.atNanos() < lifeNanos) {
            return known.usage();
        }
        RecordedUsage counted = count(id, key, cancellation);
        Usage usage = new Usage(counted.sizeBytes(), counted.inodes());
        if (lifeNanos > 0) {
            remembered.put(id, new Counted(usage, System.nanoTime()));
        }
        return usage;
    }

    /** Walks the tree. */
    RecordedUsage count(long id, String key, Cancellation cancellation) throws SnapshotException {
        try {
            TreeUsage usage = DirectoryTree.usage(layout.upper(id), cancellation::isCancelled);
            return new RecordedUsage(usage.sizeBytes(), usage.inodes());
        } catch (SyscallException e) {
            if (e.errno().equals(Errno.ENOENT)) {
                // Poisoned after a crash: the directory is thrown away and the record waits for its Remove.
                return new RecordedUsage(0, 0);
            }
            throw Failures.of(key, e);
        } catch (CancellationException e) {
            throw new SnapshotException(
                    Category.CANCELLED, "snapshot " + key + ": cancelled while its usage was counted", e);
        }
    }

    void forget(long id) {
        remembered.remove(id);
    }

    private record Counted(Usage usage, long atNanos) {}
}
