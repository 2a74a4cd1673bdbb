package io.github.volatilesnapshotter.snapshot;

import java.nio.file.Path;

/**
 * What a snapshotter is told at start.
 *
 * @param root where records, snapshots and trash lie
 * @param state the runtime directory, below which the sentinel is mounted
 * @param volatileByDefault what an active gets that says nothing of itself
 * @param commitTimeoutMillis how long a Commit waits for the disk
 * @param keyWaitMillis how long a request waits for another one on the same key
 * @param cleanupTimeoutMillis how long a Cleanup waits for the trash
 * @param usageCacheMillis how long the usage of an active is remembered
 * @param watchIntervalMillis how often each overlay is asked
 */
public record SnapshotterSettings(
        Path root,
        Path state,
        boolean volatileByDefault,
        long commitTimeoutMillis,
        long keyWaitMillis,
        long cleanupTimeoutMillis,
        long usageCacheMillis,
        long watchIntervalMillis) {}
