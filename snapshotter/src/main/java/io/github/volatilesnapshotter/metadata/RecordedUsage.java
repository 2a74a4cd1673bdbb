package io.github.volatilesnapshotter.metadata;

/**
 * Disk usage of a committed snapshot without its parents, as counted at Commit.
 *
 * @param sizeBytes st_blocks * 512, summed over distinct inodes
 * @param inodes distinct inodes, the root directory included
 */
public record RecordedUsage(long sizeBytes, long inodes) {}
