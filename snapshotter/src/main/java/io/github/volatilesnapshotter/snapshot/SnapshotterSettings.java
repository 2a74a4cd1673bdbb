package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.superblock.WatchSettings;
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
 * @param onSickFileSystem what a volatile snapshot gets whose filesystem takes no volatile uppers now
 * @param watch how closely the superblock is watched
 */
public record SnapshotterSettings(
        Path root,
        Path state,
        boolean volatileByDefault,
        long commitTimeoutMillis,
        long keyWaitMillis,
        long cleanupTimeoutMillis,
        long usageCacheMillis,
        OnSickFileSystem onSickFileSystem,
        WatchSettings watch) {
    /** What a snapshot that would be volatile gets while errors keep coming. */
    public enum OnSickFileSystem {
        /** A plain overlay, whose fsync reports errors to its container. */
        DURABLE,
        /** UNAVAILABLE. */
        REFUSE
    }
}
