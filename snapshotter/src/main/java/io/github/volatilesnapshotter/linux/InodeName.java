package io.github.volatilesnapshotter.linux;

/** What is known of an inode's name. Texts are for people: bytes that are not UTF-8 are shown as U+FFFD. */
public sealed interface InodeName {
    /**
     * It is there, and was there under this name a moment ago; it may have others.
     *
     * @param path absolute, in this mount namespace
     */
    record Known(String path) implements InodeName {}

    /**
     * It has no name any more.
     *
     * @param lastPath the last that it had; empty if not even that is known
     */
    record Deleted(String lastPath) implements InodeName {}

    /** The kernel has no name for it in memory; a search through directories may find one. */
    record Unknown() implements InodeName {}
}
