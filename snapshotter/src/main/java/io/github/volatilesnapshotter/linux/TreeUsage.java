package io.github.volatilesnapshotter.linux;

/**
 * What a directory tree occupies, as containerd counts it (continuity {@code fs.DiskUsage}): each inode once however many
 * names it has, the root directory included.
 *
 * @param sizeBytes the sum of {@code st_blocks * 512}
 */
public record TreeUsage(long sizeBytes, long inodes) {}
