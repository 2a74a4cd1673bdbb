package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.function.IntSupplier;

/**
 * The bound of what is held open for active snapshots, one descriptor for each: the overlay of a volatile one, the witness of a durable
 * one. A Prepare beyond it is refused before it has changed anything, and not when the descriptors are used up: then nothing would work
 * that needs one, a Commit or the watch. What a start finds is held beyond it, as long as the limit allows it. Thread-safe.
 */
final class OpenUppers {
    /** For everything else: sockets, records, and the two walks of each Commit, which have at most 64 open each. */
    private static final int HEADROOM = 1_024;

    /** Of a low limit a part is kept for that... */
    private static final int HEADROOM_SHARE = 4;

    /** ...but what one Commit and the daemon itself take at most. */
    private static final int LEAST_HEADROOM = 256;

    /** The daemon itself has some 75 open. */
    private static final int OWN = 128;

    private final int bound;
    private final IntSupplier held;
    private int reserved;

    /** @param held how many are open */
    OpenUppers(int bound, IntSupplier held) {
        this.bound = bound;
        this.held = held;
    }

    /** What a limit of open files leaves for uppers. */
    static int boundFor(int openFileLimit) {
        return Math.max(0, openFileLimit - Math.clamp(openFileLimit / HEADROOM_SHARE, LEAST_HEADROOM, HEADROOM));
    }

    /**
     * Whether a start can hold what it finds. Where it hardly can, a Commit may find no descriptor, is answered UNAVAILABLE, and poisons nothing.
     *
     * @param found active snapshots of this boot
     * @throws StartException if it can't; then nothing was changed
     */
    static void checkLimit(int found, int openFileLimit) throws StartException {
        if (found > Math.max(0, openFileLimit - OWN)) {
            throw new StartException("a file is held open for each of " + found
                    + " active snapshots, and the limit of open files, " + openFileLimit
                    + ", does not leave room for them: raise it (LimitNOFILE)");
        }
    }

    int bound() {
        return bound;
    }

    /**
     * Room for one more until it is closed; from when the descriptor is open it is counted itself.
     *
     * @throws SnapshotException UNAVAILABLE if there is none
     */
    synchronized Room reserve(String key) throws SnapshotException {
        if (held.getAsInt() + reserved >= bound) {
            throw new SnapshotException(
                    Category.UNAVAILABLE,
                    "snapshot " + key + ": a file is open for each of " + bound
                            + " active snapshots, and the limit of open files leaves room for no more: remove some, or raise LimitNOFILE");
        }
        reserved++;
        return new Room();
    }

    private synchronized void giveBack() {
        reserved--;
    }

    /** Room for one descriptor. */
    final class Room implements AutoCloseable {
        private Room() {}

        @Override
        public void close() {
            giveBack();
        }
    }
}
