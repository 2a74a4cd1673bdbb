package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.BootId;
import io.github.volatilesnapshotter.linux.Capabilities;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.FileSystemInstance;
import io.github.volatilesnapshotter.linux.FileSystemStat;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.linux.Xattr;
import io.github.volatilesnapshotter.metadata.Backup;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import io.github.volatilesnapshotter.metadata.TransactionNote;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * What must be true of the machine and of the root before anything is served. Each refusal says what was found and what to do.
 * Changes nothing that is there.
 */
public final class StartChecks {
    /** {@code OVERLAYFS_SUPER_MAGIC} of statfs(2). */
    private static final long OVERLAYFS_MAGIC = 0x794c7630L;

    /** From here on an overlay mounted volatile remembers the error sequence of its upper (commit 335d3fc57941). */
    private static final int MIN_KERNEL_MAJOR = 5;

    private static final int MIN_KERNEL_MINOR = 12;

    private StartChecks() {}

    /**
     * Refuses a machine or a root that can't serve.
     *
     * @param root an existing directory
     */
    public static void check(Path root) throws StartException {
        checkPath(root);
        checkKernel(KernelRelease.current());
        if (!Capabilities.hasSysAdmin()) {
            throw new StartException("missing privileges: CAP_SYS_ADMIN is needed to mount; run as root");
        }
        try {
            checkFileSystem(root);
        } catch (SyscallException e) {
            throw new StartException("root " + root + " can't be used: " + e.getMessage(), e);
        }
    }

    static void checkPath(Path root) throws StartException {
        String text = root.toString();
        if (!root.isAbsolute()) {
            throw new StartException("root " + text + " is not an absolute path");
        }
        // These divide layers, options and escapes in the options of the overlays that clients mount.
        if (text.chars().anyMatch(c -> c == ':' || c == ',' || c == '\\' || c == '"')) {
            throw new StartException(
                    "root " + text + " holds one of : , \\ \" which overlay mount options can't carry");
        }
    }

    static void checkKernel(KernelRelease kernel) throws StartException {
        if (!kernel.atLeast(MIN_KERNEL_MAJOR, MIN_KERNEL_MINOR)) {
            throw new StartException(
                    "kernel " + kernel.text() + " is too old: volatile overlays that report errors came with "
                            + MIN_KERNEL_MAJOR + "." + MIN_KERNEL_MINOR);
        }
    }

    /**
     * Refuses a root whose filesystem was taken away from under it, while the overlays of the daemon before still hold it: the directory that
     * came to light would look like a fresh root.
     */
    static void checkPool(Layout layout, Path state) throws SyscallException, StartException {
        Optional<Path> sentinel = WatchedSuperblock.sentinelElsewhere(layout.root(), state);
        if (sentinel.isPresent()) {
            throw new StartException("root " + layout.root() + " lies on device "
                    + MountInfo.containing(layout.root()).device() + " now, and the daemon before had it on "
                    + sentinel.get().getFileName()
                    + ", which its overlays still hold: mount that filesystem again; or, if the root"
                    + " has moved on purpose, stop its containers and unmount " + sentinel.get());
        }
    }

    /** Refuses to begin new records beside snapshots: neither these nor containerd's own records would match them. */
    static void checkRecords(Layout layout) throws SyscallException, StartException {
        if (!SqliteSnapshotStore.isMissing(layout.database())) {
            return;
        }
        int snapshots = DirectoryTree.names(layout.snapshots()).size();
        if (snapshots > 0) {
            throw new StartException(layout.database() + " is missing or empty, but " + layout.snapshots() + " holds "
                    + snapshots
                    + " snapshots: new records would match neither these nor what containerd knows. Nothing was changed:"
                    + " put the file back with its -wal, " + Backup.OR_BEGIN_ANEW);
        }
    }

    /**
     * Refuses to begin without records where the runtime directory says that there were some.
     *
     * @throws MetadataException with what to do
     */
    public static void checkMayBegin(Path root, Path state) throws MetadataException {
        SqliteSnapshotStore.checkMayBegin(
                new Layout(root).database(),
                TransactionNote.readFrom(
                        Layout.transactionNote(state),
                        new TransactionNote.Period(BootId.current(), FileSystemInstance.UNKNOWN)));
    }

    private static void checkFileSystem(Path root) throws SyscallException, StartException {
        if (Files.exists(root) && !Files.isDirectory(root)) {
            throw new StartException("root " + root + " is no directory; give one with --root");
        }
        FileSystemStat stat = FileSystemStat.of(root);
        if (stat.type() == OVERLAYFS_MAGIC) {
            throw new StartException("root " + root
                    + " lies on an overlay, which can't be the upper of another one: give a directory on a real filesystem"
                    + " (in a container: a hostPath or a volume)");
        }
        if (stat.readOnly()) {
            throw new StartException("root " + root
                    + " lies on a read-only filesystem; if the kernel has made it so after an error (see dmesg),"
                    + " stop the containers on it, unmount it with everything on it, check it and mount it again");
        }
        Path probe = root.resolve(".start-check");
        DirectoryTree.delete(probe);
        try {
            Entries.mkdir(probe, 0700);
        } catch (SyscallException e) {
            if (e.errno().isNoRoom()) {
                // A full filesystem shows nothing more, and what is there can be read and watched.
                return;
            }
            throw e;
        }
        try {
            checkXattr(root, probe);
            if (!DirectoryTree.reportsFileTypes(root)) {
                throw new StartException(
                        "root " + root
                                + " lies on a filesystem without d_type, which overlayfs needs of an upper: make xfs with ftype=1");
            }
        } finally {
            DirectoryTree.delete(probe);
        }
    }

    private static void checkXattr(Path root, Path probe) throws SyscallException, StartException {
        try {
            Xattr.set(probe, "trusted.volatile-snapshotter.probe", new byte[] {1});
        } catch (SyscallException e) {
            if (e.errno().equals(Errno.EOPNOTSUPP)) {
                throw new StartException(
                        "root " + root
                                + " lies on a filesystem without trusted.* xattrs, which overlayfs needs of an upper",
                        e);
            }
            throw e;
        }
    }
}
