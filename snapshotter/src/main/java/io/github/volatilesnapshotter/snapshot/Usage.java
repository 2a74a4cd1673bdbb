package io.github.volatilesnapshotter.snapshot;

/**
 * Disk usage of one snapshot without its parents, counted as containerd counts.
 *
 * @param sizeBytes st_blocks * 512, summed over distinct inodes
 * @param inodes distinct inodes, the root directory included
 */
public record Usage(long sizeBytes, long inodes) {}
