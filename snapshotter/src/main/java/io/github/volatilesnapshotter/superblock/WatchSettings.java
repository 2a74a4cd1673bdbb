package io.github.volatilesnapshotter.superblock;

/**
 * How closely a superblock is watched.
 *
 * @param intervalMillis between two questions to the sentinel
 * @param probeIntervalMillis between two write probes while nothing is suspected
 * @param probeTimeoutMillis after which a write probe that has not come back means that the disk hangs
 */
public record WatchSettings(long intervalMillis, long probeIntervalMillis, long probeTimeoutMillis) {}
