package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.INFO;

import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import io.github.volatilesnapshotter.superblock.FileSystemLog;
import io.github.volatilesnapshotter.superblock.FileSystemLog.Finding;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Whether a layer is brought to disk with all of its filesystem (syncfs) or alone (targeted). Left to itself it is alone as long as
 * other volatile uppers lie there: what they leave dirty mostly never needs to reach the disk. Thread-safe.
 */
final class SyncChoice {
    private static final System.Logger LOG = System.getLogger(SyncChoice.class.getName());

    private final LayerSyncMode mode;
    private final WatchedSuperblock superblock;
    private final Uppers uppers;

    private @Nullable Finding finding;

    SyncChoice(LayerSyncMode mode, WatchedSuperblock superblock, Uppers uppers) {
        this.mode = mode;
        this.superblock = superblock;
        this.uppers = uppers;
    }

    /** @throws StartException if the configuration wants what the filesystem can't */
    void check() throws SyscallException, StartException {
        if (mode == LayerSyncMode.TARGETED && find() instanceof Finding.Missing missing) {
            throw LayerSyncCheck.refusal(superblock.mount(), missing);
        }
    }

    /**
     * The log that is to be committed after the layer's own files; empty if the whole filesystem is to be synced. The first one on an ext4
     * asks the disk.
     *
     * @param id the snapshot's that becomes a layer
     */
    Optional<FileSystemLog> targetedLog(long id) throws SyscallException {
        return switch (mode) {
            case SYNCFS -> Optional.empty();
            case AUTO -> uppers.isMountedBeside(id) ? log() : Optional.empty();
            case TARGETED -> log();
        };
    }

    private Optional<FileSystemLog> log() throws SyscallException {
        return switch (find()) {
            case Finding.Found found -> Optional.of(found.log());
            case Finding.Missing _ -> Optional.empty();
        };
    }

    private synchronized Finding find() throws SyscallException {
        Finding known = finding;
        if (known == null) {
            known = superblock.findLog();
            finding = known;
            LOG.log(
                    INFO,
                    "layers beside volatile uppers are synced",
                    "device",
                    superblock.device(),
                    "sync",
                    known instanceof Finding.Found ? "targeted" : "syncfs",
                    "reason",
                    switch (known) {
                        case Finding.Found found -> found.log();
                        case Finding.Missing missing -> missing.reason();
                    });
        }
        return known;
    }
}
