package io.github.volatilesnapshotter.superblock;

/** What a write probe was answered. */
sealed interface ProbeAnswer {
    /** The filesystem takes changes; one that is merely full does too. */
    record Takes() implements ProbeAnswer {}

    /**
     * The probe could not be made, for want of something that is not the filesystem's: says nothing of it, good or bad.
     *
     * @param why for people
     */
    record Unasked(String why) implements ProbeAnswer {}

    /** The filesystem does not take changes. */
    record Refused(Failure failure) implements ProbeAnswer {}
}
