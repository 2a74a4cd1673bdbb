package io.github.volatilesnapshotter.superblock;

import java.util.Locale;

/** How a superblock is. {@link StateMachine} says how one becomes another. */
public enum State {
    /** No error that is not cleared. */
    HEALTHY,
    /** An error epoch is open: the error is being cleared, which takes as long as writing the filesystem back. */
    ERRORING,
    /** Epochs keep coming; each could be cleared. */
    FAILING,
    /** Nothing can be written: the disk does not store data, or the filesystem is read-only or shut down. */
    FAILED,
    /** The write probe does not come back. */
    HUNG;

    /** Whether new volatile uppers are placed on it. */
    public boolean takesVolatile() {
        return this == HEALTHY || this == ERRORING;
    }

    /** Whether anything new can be written to it. */
    public boolean takesChanges() {
        return this != FAILED && this != HUNG;
    }

    /** Whether what waits for it can be expected to end. */
    public boolean answers() {
        return this != HUNG;
    }

    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
