package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;

/** Entries of directories. A change is durable only after fsync of the directory that holds the entry. */
public final class Entries {
    private static final int SET_ID_BITS = 07000;

    private Entries() {}

    /** With exactly this mode, whatever the umask; EEXIST if there is an entry of that name. */
    public static void mkdir(Path directory, int mode) throws SyscallException {
        SystemCalls.mkdir(directory, mode);
        // mkdir(2) takes away what the umask has, and ignores set-id bits. A chmod that changes nothing still costs a
        // journal entry.
        if ((mode & (Umask.OF_THIS_PROCESS | SET_ID_BITS)) != 0) {
            SystemCalls.chmod(directory, mode);
        }
    }

    /** Makes the directory and those above it that are missing, each with this mode; one that is there stays as it is. */
    public static void createDirectories(Path directory, int mode) throws SyscallException {
        Path parent = directory.getParent();
        if (exists(directory)) {
            return;
        }
        if (parent != null) {
            createDirectories(parent, mode);
        }
        try {
            mkdir(directory, mode);
        } catch (SyscallException failure) {
            // Somebody else was faster.
            if (!failure.errno().is(Errno.EEXIST)) {
                throw failure;
            }
        }
    }

    /** Replaces a file or an empty directory at the destination, atomically. */
    public static void rename(Path from, Path to) throws SyscallException {
        SystemCalls.rename(from, to, 0);
    }

    /** EEXIST if there is an entry at the destination. */
    public static void renameNoReplace(Path from, Path to) throws SyscallException {
        SystemCalls.rename(from, to, SystemCalls.RENAME_NO_REPLACE);
    }

    /** Anything but a directory. */
    public static void unlink(Path path) throws SyscallException {
        SystemCalls.unlink(path, 0);
    }

    /** ENOTEMPTY unless the directory is empty. */
    public static void rmdir(Path directory) throws SyscallException {
        SystemCalls.unlink(directory, SystemCalls.AT_REMOVE_DIRECTORY);
    }

    /** Of the path itself, also if it is a symbolic link. Takes away set-user-id bits: chmod comes after. */
    public static void chown(Path path, int uid, int gid) throws SyscallException {
        SystemCalls.lchown(path, uid, gid);
    }

    /** Follows symbolic links, which have no mode of their own. */
    public static void chmod(Path path, int mode) throws SyscallException {
        SystemCalls.chmod(path, mode);
    }

    /** Whether there is an entry, also if it is a symbolic link to nowhere; any other error than its absence is thrown. */
    public static boolean exists(Path path) throws SyscallException {
        try {
            SystemCalls.statx(path);
            return true;
        } catch (SyscallException failure) {
            if (failure.errno().is(Errno.ENOENT) || failure.errno().is(Errno.ENOTDIR)) {
                return false;
            }
            throw failure;
        }
    }
}
