package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;
import java.time.Instant;

/**
 * One detected episode of writeback errors on one superblock.
 *
 * @param errno what showed it: the sentinel's errno, or EIO when a volatile mount was refused
 */
public record ErrorEpoch(Device device, Errno errno, Instant detectedAt) {
    /** Whoever has overlays on the superblock. */
    @FunctionalInterface
    public interface Listener {
        /**
         * Ask every overlay on the superblock now. Called with the superblock's epoch lock held, before the error is cleared and
         * again after; must not mount anything on it.
         */
        void look(ErrorEpoch epoch);

        /** The error is cleared, everybody was asked. Called with the epoch lock held; must return at once. */
        default void cleared(ErrorEpoch epoch) {}
    }
}
