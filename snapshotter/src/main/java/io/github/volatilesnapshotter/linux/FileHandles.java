package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * From an inode's number to its name, by a file handle made here, see open_by_handle_at(2). What a handle holds is each
 * filesystem's own: ext4's FILEID_INO32_GEN takes any generation if it is given 0; btrfs' (fs/btrfs/export.h) wants the
 * subvolume; xfs' (fs/xfs/xfs_export.h) wants the generation, which only its bulkstat tells. Needs CAP_DAC_READ_SEARCH.
 *
 * <p>An inode that is in memory, as those behind a mounted overlay are, takes some microseconds and no I/O; one that is not is
 * read from the disk, and blocks as long as that takes.
 */
public final class FileHandles {
    private static final int HEADER_BYTES = 8;
    private static final int EXT4_TYPE = 1;
    private static final int EXT4_BYTES = 8;
    private static final int BTRFS_TYPE = 0x4d;
    private static final int BTRFS_BYTES = 20;
    private static final int XFS_TYPE = 0x81;
    private static final int XFS_BYTES = 12;
    private static final int LARGEST_BYTES = 24;

    /** Of btrfs, include/uapi/linux/btrfs.h: {@code _IOWR(0x94, 18, struct btrfs_ioctl_ino_lookup_args)}. */
    private static final long INO_LOOKUP = 0xd0009412L;

    private static final int INO_LOOKUP_BYTES = 4096;
    private static final long FIRST_FREE_OBJECTID = 256;

    /** Of xfs, fs/xfs/libxfs/xfs_fs.h, Linux 5.5: {@code _IOR('X', 127, struct xfs_bulkstat_req)}. */
    private static final long BULKSTAT = 0x8040587fL;

    private static final int BULKSTAT_HEADER_BYTES = 64;
    private static final int BULKSTAT_BYTES = 192;
    private static final int BULKSTAT_WANTED_OFFSET = 12;
    private static final int BULKSTAT_GIVEN_OFFSET = 16;
    private static final int BULKSTAT_GENERATION_OFFSET = 64;

    private static final String DELETED = " (deleted)";

    private FileHandles() {}

    /**
     * The inode's name in this mount namespace, below the mount of {@code anyFile}.
     *
     * @param anyFile opened for reading, not as O_PATH; on btrfs one of the subvolume in which the inode is meant: its numbers are
     *     unique in a subvolume only
     * @param fsType as in mountinfo; of any but ext2 to ext4, xfs and btrfs nothing is known
     */
    public static InodeName nameOf(Fd anyFile, String fsType, long inode) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment handle = frame.allocate(HEADER_BYTES + LARGEST_BYTES);
            switch (fsType) {
                case "ext2", "ext3", "ext4" -> {
                    header(handle, EXT4_BYTES, EXT4_TYPE);
                    handle.set(JAVA_INT, HEADER_BYTES, (int) inode);
                }
                case "btrfs" -> {
                    header(handle, BTRFS_BYTES, BTRFS_TYPE);
                    handle.set(JAVA_LONG, HEADER_BYTES, inode);
                    handle.set(JAVA_LONG, HEADER_BYTES + 8L, subvolumeOf(frame, anyFile));
                }
                case "xfs" -> {
                    Integer generation = xfsGeneration(frame, anyFile, inode);
                    if (generation == null) {
                        return new InodeName.Deleted("");
                    }
                    header(handle, XFS_BYTES, XFS_TYPE);
                    handle.set(JAVA_LONG, HEADER_BYTES, inode);
                    handle.set(JAVA_INT, HEADER_BYTES + 8L, generation);
                }
                default -> {
                    return new InodeName.Unknown();
                }
            }
            return nameOf(frame, anyFile, handle, fsType, inode);
        }
    }

    private static void header(MemorySegment handle, int sizeBytes, int type) {
        handle.set(JAVA_INT, 0, sizeBytes);
        handle.set(JAVA_INT, Integer.BYTES, type);
    }

    private static InodeName nameOf(CallFrame frame, Fd anyFile, MemorySegment handle, String fsType, long inode)
            throws SyscallException {
        // O_PATH: opening a container's device or fifo in any other way would do something.
        int flags = OpenFlags.PATH | OpenFlags.CLOSE_ON_EXEC;
        long result = frame.uninterrupted(callState -> LibC.openByHandleAt(callState, anyFile.number(), handle, flags));
        if (result == -1 && frame.errno().is(Errno.ESTALE)) {
            // Of btrfs another subvolume may have it.
            return fsType.equals("btrfs") ? new InodeName.Unknown() : new InodeName.Deleted("");
        }
        frame.check(result, "open_by_handle_at", anyFile, fsType + " inode " + inode);
        try (Fd file = new Fd((int) result, CString.of("inode " + inode))) {
            return nameOf(file);
        }
    }

    private static InodeName nameOf(Fd file) throws SyscallException {
        CString path = SystemCalls.readlink(Path.of("/proc/self/fd/" + file.number()));
        String text = path.toText();
        Stat stat = Stat.of(file);
        if (stat.links() == 0) {
            boolean isNamed = text.endsWith(DELETED) && !text.equals("/" + DELETED);
            return new InodeName.Deleted(isNamed ? text.substring(0, text.length() - DELETED.length()) : "");
        }
        // "/" for a file whose name the kernel does not have in memory, "(unreachable)" for one that this mount does
        // not show,
        // " (deleted)" for one whose last used name is gone though it has others: only what leads to the file is its
        // name.
        return leadsTo(path, stat) ? new InodeName.Known(text) : new InodeName.Unknown();
    }

    private static boolean leadsTo(CString path, Stat stat) {
        try {
            return SystemCalls.statx(path).isSameFile(stat);
        } catch (SyscallException _) {
            return false;
        }
    }

    /** The id of the tree that the file is in; 5 is the top of the filesystem. */
    private static long subvolumeOf(CallFrame frame, Fd file) throws SyscallException {
        MemorySegment arguments = frame.allocate(INO_LOOKUP_BYTES);
        arguments.set(JAVA_LONG, 8, FIRST_FREE_OBJECTID);
        int result = LibC.ioctl(frame.callState(), file.number(), INO_LOOKUP, arguments);
        frame.check(result, "ioctl", file, "BTRFS_IOC_INO_LOOKUP");
        return arguments.get(JAVA_LONG, 0);
    }

    /** Null if the inode is not in use. */
    private static @Nullable Integer xfsGeneration(CallFrame frame, Fd file, long inode) throws SyscallException {
        MemorySegment request = frame.allocate(BULKSTAT_HEADER_BYTES + BULKSTAT_BYTES);
        request.set(JAVA_LONG, 0, inode);
        request.set(JAVA_INT, BULKSTAT_WANTED_OFFSET, 1);
        int result = LibC.ioctl(frame.callState(), file.number(), BULKSTAT, request);
        frame.check(result, "ioctl", file, "XFS_IOC_BULKSTAT", "inode " + inode);
        MemorySegment given = request.asSlice(BULKSTAT_HEADER_BYTES);
        // It gives the first inode in use from the number on.
        boolean isIt = request.get(JAVA_INT, BULKSTAT_GIVEN_OFFSET) == 1 && given.get(JAVA_LONG, 0) == inode;
        return isIt ? given.get(JAVA_INT, BULKSTAT_GENERATION_OFFSET) : null;
    }
}
