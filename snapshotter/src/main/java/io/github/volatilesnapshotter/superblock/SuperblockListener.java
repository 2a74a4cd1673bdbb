package io.github.volatilesnapshotter.superblock;

import java.util.List;

/** Whoever has overlays on a superblock. Called from several threads; must not mount anything on it nor wait for it. */
public interface SuperblockListener {
    /** An error was noticed, and nothing was done about it yet. Each epoch begins and is {@link #cleared} once, and no two overlap. */
    void begun(ErrorEpoch epoch);

    /**
     * Ask every overlay on the superblock now. Called when an epoch begins, before the error is cleared, and again after: what failed
     * in between is in the overlays' samples and not in the new sentinel's.
     *
     * @return whether what was found is recorded; until it is the error must not be cleared
     */
    boolean look(ErrorEpoch epoch);

    /**
     * Name the files whose writeback failed, for people. Comes after {@link #look}, on a thread on which it may wait for the disk; after
     * a storm of errors only the first of them are given.
     */
    void damaged(List<FailedWriteback> failures);

    /** The disk stores data again, and {@link #look} has said that something is not recorded: that is to be tried now. Returns at once. */
    void storesData();

    /** The error is cleared and a new sentinel stands; whoever waits for that is let go after this returns. */
    void cleared(ErrorEpoch epoch);

    /** What was not written back is lost, whatever the overlays say: the filesystem has stopped writing for good. */
    void gone(Failure failure);

    /** The state changed; called with the superblock's state locked. */
    void changed(Transition transition);
}
