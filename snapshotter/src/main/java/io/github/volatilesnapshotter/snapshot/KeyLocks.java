package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** One lock for each key that somebody works on, so that a Commit and a Remove of one snapshot never meet. */
final class KeyLocks {
    private final ConcurrentHashMap<String, Counted> locks = new ConcurrentHashMap<>();
    private final long waitMillis;
    private final Runnable onTimeout;

    /**
     * @param waitMillis how long a request waits for another one on the same key
     * @param onTimeout counts the requests that waited in vain
     */
    KeyLocks(long waitMillis, Runnable onTimeout) {
        this.waitMillis = waitMillis;
        this.onTimeout = onTimeout;
    }

    /** @throws SnapshotException UNAVAILABLE if another request holds the key for too long */
    Held hold(String key) throws SnapshotException {
        Counted counted = enter(key);
        boolean isLocked = false;
        try {
            isLocked = counted.lock.tryLock() || counted.lock.tryLock(waitMillis, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new SnapshotException(
                    Category.CANCELLED, "snapshot " + key + ": interrupted while another request runs", e);
        } finally {
            if (!isLocked) {
                leave(key);
            }
        }
        if (!isLocked) {
            onTimeout.run();
            throw new SnapshotException(
                    Category.UNAVAILABLE,
                    "snapshot " + key + " is busy: another request on it runs for more than " + waitMillis + " ms");
        }
        return () -> {
            counted.lock.unlock();
            leave(key);
        };
    }

    private Counted enter(String key) {
        return locks.compute(key, (_, present) -> {
            Counted counted = present == null ? new Counted() : present;
            counted.users++;
            return counted;
        });
    }

    private void leave(String key) {
        locks.compute(key, (_, present) -> dropIfUnused(present));
    }

    private static @Nullable Counted dropIfUnused(@Nullable Counted counted) {
        if (counted == null || --counted.users == 0) {
            return null;
        }
        return counted;
    }

    /** Keys that somebody holds or waits for. */
    int size() {
        return locks.size();
    }

    interface Held extends AutoCloseable {
        @Override
        void close();
    }

    /** {@link #users} is touched inside the map's compute only. */
    private static final class Counted {
        private final ReentrantLock lock = new ReentrantLock();
        private int users;
    }
}
