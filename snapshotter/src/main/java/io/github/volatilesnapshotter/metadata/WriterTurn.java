package io.github.volatilesnapshotter.metadata;

import io.github.volatilesnapshotter.metadata.MetadataException.Reason;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;

/** Whose turn it is to write: one thread's at a time. Waiting is bounded, so that a hung disk gives errors and not a pile of threads. */
final class WriterTurn {
    static final long TIMEOUT_MILLIS = 30_000;

    private final Path database;
    private final ReentrantLock lock = new ReentrantLock();

    /** @param database for the messages of errors */
    WriterTurn(Path database) {
        this.database = database;
    }

    /** The turn of the thread that has taken it, until it is closed. */
    interface Held extends AutoCloseable {
        @Override
        void close();
    }

    /**
     * Waits for the turn.
     *
     * @throws MetadataException BUSY if others take longer than {@value #TIMEOUT_MILLIS} ms
     */
    Held take() throws MetadataException {
        refuseNested();
        try {
            if (!lock.tryLock() && !lock.tryLock(TIMEOUT_MILLIS, TimeUnit.MILLISECONDS)) {
                throw busy();
            }
        } catch (InterruptedException e) {
            throw interrupted();
        }
        return lock::unlock;
    }

    boolean isMine() {
        return lock.isHeldByCurrentThread();
    }

    /** To be asked before anything is waited for that a turn could wait for as well. */
    void refuseNested() {
        if (isMine()) {
            throw new IllegalStateException("a transaction within a transaction");
        }
    }

    /** How many threads wait for it. */
    int waiting() {
        return lock.getQueueLength();
    }

    MetadataException busy() {
        return refused("other writers have taken longer than " + TIMEOUT_MILLIS + " ms");
    }

    /** To be thrown by a thread that was: it stays interrupted. */
    MetadataException interrupted() {
        Thread.currentThread().interrupt();
        return refused("interrupted while waiting for other writers");
    }

    private MetadataException refused(String why) {
        return new MetadataException(Reason.BUSY, database, "write", why, "", null);
    }
}
