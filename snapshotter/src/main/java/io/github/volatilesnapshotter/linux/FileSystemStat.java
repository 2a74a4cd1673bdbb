package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/**
 * What statfs(2) says of a filesystem, in the layout of 64-bit x86 and ARM.
 *
 * @param type the magic number, one of the constants here or another
 * @param availableBytes what an unprivileged process may still use
 * @param readOnly the mount or its superblock; an ext4 that has aborted its journal since Linux 6.15 does not show here
 * @param flags the ST_ flags of the mount
 */
public record FileSystemStat(
        long type,
        long totalBytes,
        long availableBytes,
        long totalInodes,
        long availableInodes,
        boolean readOnly,
        long flags) {

    public static final long OVERLAYFS = 0x794c7630L;
    public static final long EXT4 = 0xef53L;
    public static final long XFS = 0x58465342L;
    public static final long BTRFS = 0x9123683eL;
    public static final long TMPFS = 0x01021994L;
    public static final long TRACEFS = 0x74726163L;

    private static final long FLAG_READ_ONLY = 1;

    /** Follows symbolic links. */
    public static FileSystemStat of(Path path) throws SyscallException {
        return SystemCalls.statfs(path);
    }

    static FileSystemStat read(MemorySegment statfs) {
        long fragmentBytes = statfs.get(JAVA_LONG, 72);
        long blockBytes = fragmentBytes == 0 ? statfs.get(JAVA_LONG, 8) : fragmentBytes;
        long flags = statfs.get(JAVA_LONG, 80);
        return new FileSystemStat(
                statfs.get(JAVA_LONG, 0),
                statfs.get(JAVA_LONG, 16) * blockBytes,
                statfs.get(JAVA_LONG, 32) * blockBytes,
                statfs.get(JAVA_LONG, 40),
                statfs.get(JAVA_LONG, 48),
                (flags & FLAG_READ_ONLY) != 0,
                flags);
    }
}
