package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import io.github.volatilesnapshotter.superblock.FileSystemLog.Finding;
import io.github.volatilesnapshotter.superblock.FileSystemLogs;
import java.nio.file.Path;

/** How the layers on a filesystem are brought to disk, and why, in words for people; what the daemon does is {@link SyncChoice}. */
public final class LayerSyncCheck {
    private LayerSyncCheck() {}

    /**
     * Says it. On ext4 files are written and synced in the directory, and deleted.
     *
     * @param mount that the directory lies on
     * @throws StartException if a daemon would not start with this mode
     */
    public static String explain(LayerSyncMode mode, MountInfo mount, Path directory)
            throws SyscallException, StartException {
        return explain(mode, mount, FileSystemLogs.find(mount, directory));
    }

    static String explain(LayerSyncMode mode, MountInfo mount, Finding finding) throws StartException {
        return switch (finding) {
            case Finding.Found _ ->
                switch (mode) {
                    case AUTO ->
                        "auto: targeted beside mounted volatile uppers (the layer's own files, then one commit of "
                                + mount.fsType() + "'s log), else syncfs (all of the filesystem)";
                    case SYNCFS ->
                        "syncfs: always all of the filesystem, though " + mount.fsType() + " could do targeted";
                    case TARGETED ->
                        "targeted: always the layer's own files, then one commit of " + mount.fsType() + "'s log";
                };
            case Finding.Missing missing ->
                switch (mode) {
                    case AUTO ->
                        "auto: syncfs, always all of the filesystem, also what volatile uppers have dirty there; targeted can't be"
                                + " done: " + missing.reason();
                    case SYNCFS -> "syncfs: always all of the filesystem; targeted can't be done: " + missing.reason();
                    case TARGETED -> throw refusal(mount, missing);
                };
        };
    }

    static StartException refusal(MountInfo mount, Finding.Missing missing) {
        return new StartException("layers.sync = \"targeted\" can't be done on device " + mount.device() + " ("
                + mount.fsType() + "): " + missing.reason() + "; use \"auto\" or \"syncfs\"");
    }
}
