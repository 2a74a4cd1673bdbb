package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * What statx(2) says of a file; {@code struct statx} is laid out alike on every architecture.
 *
 * @param mode type and permissions, as in {@code st_mode}
 * @param blocks512 what the file occupies, in units of 512 bytes whatever the filesystem's block size
 * @param isWhiteout whether it is a character device 0:0, which overlayfs takes for a name that is hidden
 * @param deviceMajor of the device that stat(2) gives; on btrfs it is a subvolume's, not the one of mountinfo
 * @param changedNanos ctime, in nanoseconds since 1970: when content, owner, mode, names or times were last changed, and never set by
 *     anybody
 * @param modified mtime
 * @param mountId as the first field of mountinfo; 0 before Linux 5.8
 */
public record Stat(
        int mode,
        int uid,
        int gid,
        long inode,
        long blocks512,
        int links,
        boolean isWhiteout,
        long deviceMajor,
        long deviceMinor,
        long sizeBytes,
        long changedNanos,
        Time modified,
        long mountId) {

    /**
     * A moment as a file has it.
     *
     * @param seconds since 1970
     * @param nanos within the second
     */
    public record Time(long seconds, int nanos) {}

    static final int STATX_UNIQUE_MOUNT_ID = 0x4000;
    private static final int STATX_BASIC_STATS = 0x7ff;
    private static final int STATX_MOUNT_ID = 0x1000;
    static final int STATX_MASK = STATX_BASIC_STATS | STATX_MOUNT_ID;

    private static final int TYPE_MASK = 0xf000;
    private static final int TYPE_DIRECTORY = 0x4000;
    private static final int TYPE_REGULAR_FILE = 0x8000;
    private static final int TYPE_CHARACTER_DEVICE = 0x2000;
    private static final int PERMISSIONS_MASK = 0xfff;

    /** Of the path itself, also if it is a symbolic link. */
    public static Stat of(Path path) throws SyscallException {
        return SystemCalls.statx(path);
    }

    public static Stat of(Fd file) throws SyscallException {
        return SystemCalls.statx(file);
    }

    public boolean isDirectory() {
        return (mode & TYPE_MASK) == TYPE_DIRECTORY;
    }

    public boolean isRegularFile() {
        return (mode & TYPE_MASK) == TYPE_REGULAR_FILE;
    }

    /** The mode without the type: twelve bits, as chmod takes them. */
    public int permissions() {
        return mode & PERMISSIONS_MASK;
    }

    public Device device() {
        return new Device((int) deviceMajor, (int) deviceMinor);
    }

    boolean isSameFile(Stat other) {
        return inode == other.inode && deviceMajor == other.deviceMajor && deviceMinor == other.deviceMinor;
    }

    static Stat read(MemorySegment statx) {
        boolean hasMountId = (statx.get(JAVA_INT, 0) & STATX_MOUNT_ID) != 0;
        return new Stat(
                Short.toUnsignedInt(statx.get(JAVA_SHORT, 28)),
                statx.get(JAVA_INT, 20),
                statx.get(JAVA_INT, 24),
                statx.get(JAVA_LONG, 32),
                statx.get(JAVA_LONG, 48),
                statx.get(JAVA_INT, 16),
                isWhiteout(statx),
                Integer.toUnsignedLong(statx.get(JAVA_INT, 136)),
                Integer.toUnsignedLong(statx.get(JAVA_INT, 140)),
                statx.get(JAVA_LONG, 40),
                TimeUnit.SECONDS.toNanos(statx.get(JAVA_LONG, 96)) + statx.get(JAVA_INT, 104),
                new Time(statx.get(JAVA_LONG, 112), statx.get(JAVA_INT, 120)),
                hasMountId ? statx.get(JAVA_LONG, 144) : 0);
    }

    private static boolean isWhiteout(MemorySegment statx) {
        boolean isCharacterDevice = (statx.get(JAVA_SHORT, 28) & TYPE_MASK) == TYPE_CHARACTER_DEVICE;
        return isCharacterDevice && statx.get(JAVA_INT, 128) == 0 && statx.get(JAVA_INT, 132) == 0;
    }

    /** Null if the kernel did not fill it in. */
    static @Nullable Long readUniqueMountId(MemorySegment statx) {
        boolean known = (statx.get(JAVA_INT, 0) & STATX_UNIQUE_MOUNT_ID) != 0;
        return known ? (Long) statx.get(JAVA_LONG, 144) : null;
    }
}
