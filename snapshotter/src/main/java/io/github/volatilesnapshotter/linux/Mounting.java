package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;

/** Mounts other than overlays, and the end of any mount. */
public final class Mounting {
    private static final long MS_READ_ONLY = 1;
    private static final long MS_REMOUNT = 1 << 5;
    private static final long MS_BIND = 1 << 12;
    private static final long MS_RECURSIVE = 1 << 14;
    private static final long MS_PRIVATE = 1 << 18;
    private static final long MS_SHARED = 1 << 20;
    /** nosuid, nodev, noexec, noatime, nodiratime: the ST_ flags of statfs that have the value of their MS_ flag. */
    private static final long KEPT_BY_REMOUNT = 2 | 4 | 8 | 1024 | 2048;

    private static final int MNT_DETACH = 2;
    private static final int UMOUNT_NO_FOLLOW = 8;

    private Mounting() {}

    /** Shows the source, without what is mounted below it, at the target too. */
    public static void bind(Path source, Path target, boolean readOnly) throws SyscallException {
        SystemCalls.mount(CString.of(source), target, CString.EMPTY, MS_BIND, CString.EMPTY);
        if (readOnly) {
            try {
                remountReadOnly(target);
            } catch (SyscallException failure) {
                detachAfter(failure, target);
                throw failure;
            }
        }
    }

    private static void remountReadOnly(Path target) throws SyscallException {
        // A remount takes away every flag that it does not name.
        long kept = FileSystemStat.of(target).flags() & KEPT_BY_REMOUNT;
        SystemCalls.mount(
                CString.EMPTY, target, CString.EMPTY, MS_REMOUNT | MS_BIND | MS_READ_ONLY | kept, CString.EMPTY);
    }

    /** Takes the mount out of the tree at once, in use or not; it ends with its last user. EINVAL if there is none. */
    public static void detach(Path target) throws SyscallException {
        SystemCalls.umount(target, MNT_DETACH | UMOUNT_NO_FOLLOW);
    }

    /** EBUSY if the mount is in use. On an overlay that is not volatile this syncs the whole upper filesystem. */
    public static void unmount(Path target) throws SyscallException {
        SystemCalls.umount(target, UMOUNT_NO_FOLLOW);
    }

    /** Mounts and unmounts below the mount at the target no longer spread, in either direction. */
    public static void makePrivate(Path target) throws SyscallException {
        SystemCalls.mount(CString.EMPTY, target, CString.EMPTY, MS_PRIVATE, CString.EMPTY);
    }

    /** Mounts and unmounts below the mount at the target spread to its peers, for all mounts now below it. */
    public static void makeRshared(Path target) throws SyscallException {
        SystemCalls.mount(CString.EMPTY, target, CString.EMPTY, MS_SHARED | MS_RECURSIVE, CString.EMPTY);
    }

    /** Takes back a mount that turned out wrong; a failure to do so joins the one that is the reason. */
    static void detachAfter(SyscallException reason, Path target) {
        try {
            detach(target);
        } catch (SyscallException failure) {
            reason.addSuppressed(failure);
        }
    }
}
