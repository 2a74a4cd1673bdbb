package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;

/**
 * One detected episode of writeback errors on one superblock.
 *
 * @param number counts the epochs of a superblock since the daemon's start, from 1
 * @param errno what showed it: the sentinel's errno, or EIO where a sentinel is missing
 */
public record ErrorEpoch(long number, Device device, Errno errno) {}
