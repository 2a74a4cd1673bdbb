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
 * @param layerSync how a layer is brought to disk
 * @param earlyWritebackIntervalMillis between two looks for what layers that are being unpacked have to write back; 0: none
 * @param mostOpenUppers active snapshots for which a file may be open
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
        WatchSettings watch,
        LayerSyncMode layerSync,
        long earlyWritebackIntervalMillis,
        int mostOpenUppers) {
    /** What a limit of open files leaves for {@link #mostOpenUppers}. */
    public static int mostOpenUppersFor(int openFileLimit) {
        return OpenUppers.boundFor(openFileLimit);
    }

    /** How much of its filesystem a Commit writes back. */
    public enum LayerSyncMode {
        /** The layer alone while volatile uppers lie beside it, if the filesystem lets it, else all. */
        AUTO,
        /** All. */
        SYNCFS,
        /** The layer alone; a filesystem that does not let it is refused. */
        TARGETED
    }

    /** What a snapshot that would be volatile gets while errors keep coming. */
    public enum OnSickFileSystem {
        /** A plain overlay, whose fsync reports errors to its container. */
        DURABLE,
        /** UNAVAILABLE. */
        REFUSE
    }
}
