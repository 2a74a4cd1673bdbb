package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Device;

/**
 * A page that was not written back, as the kernel's trace has it.
 *
 * @param device the superblock's number in mountinfo; for a page of the block device itself the block device's
 * @param inode whose page it was; {@link #NO_INODE} for a page of the block device itself
 * @param atNanos when, in the clock of {@link System#nanoTime}, to the microsecond
 */
public record FailedWriteback(Device device, long inode, long atNanos) {
    /** No filesystem has an inode of this number. */
    public static final long NO_INODE = 0;

    /** Whether it was a page of the block device itself: metadata or journal, and no file's content. */
    public boolean isOfBlockDevice() {
        return inode == NO_INODE;
    }
}
