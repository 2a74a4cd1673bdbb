package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Errno;

/**
 * Why nothing can be written to a superblock.
 *
 * @param reason for people
 * @param errno what the write probe was answered, or EROFS where only the flags say it
 * @param isGone whether it is proven that what was not written back is lost: shut down, or read-only by its own decision. A remount by an operator
 *     writes everything back first
 */
public record Failure(String reason, Errno errno, boolean isGone) {}
