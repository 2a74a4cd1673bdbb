package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * The errors that a filesystem itself reports, see FAN_FS_ERROR in fanotify(7), Linux 5.16. On 6.18 ext4 does so for what is wrong
 * with its metadata, an aborted journal included; no filesystem does for data that was not written back. xfs and btrfs accept the
 * mark and report nothing. Keeps no filesystem from being unmounted. One thread at a time.
 */
public final class FileSystemErrors implements AutoCloseable {
    private static final int FAN_CLOEXEC = 0x1;
    private static final int FAN_NONBLOCK = 0x2;
    private static final int FAN_REPORT_FID = 0x200;
    private static final int FAN_MARK_ADD = 0x1;
    private static final int FAN_MARK_FILESYSTEM = 0x100;
    private static final long FAN_FS_ERROR = 0x8000;
    private static final byte METADATA_VERSION = 3;
    private static final byte INFO_TYPE_ERROR = 5;

    private static final int VERSION_OFFSET = 4;
    private static final int METADATA_LENGTH_OFFSET = 6;
    private static final int MASK_OFFSET = 8;
    private static final int METADATA_BYTES = 24;
    private static final int INFO_LENGTH_OFFSET = 2;
    private static final int INFO_HEADER_BYTES = 4;
    private static final int COUNT_OFFSET = 8;

    private static final int READ_BYTES = 4096;
    private static final int MOST_READS = 16;
    /** How kernels before 5.16, and filesystems that cannot be marked, answer. */
    private static final Set<Errno> NOT_SUPPORTED =
            Set.of(Errno.EINVAL, Errno.EOPNOTSUPP, Errno.ENODEV, Errno.EXDEV, Errno.ENOSYS);

    private final Fd group;

    private FileSystemErrors(Fd group) {
        this.group = group;
    }

    /**
     * Errors of the filesystem that the path lies on, from now on; empty if this kernel or this filesystem reports none.
     *
     * @throws SyscallException EPERM without CAP_SYS_ADMIN, EMFILE if there are too many groups
     */
    public static Optional<FileSystemErrors> of(Path path) throws SyscallException {
        CString name = CString.of(path);
        try (CallFrame frame = new CallFrame()) {
            int number = LibC.fanotifyInit(
                    frame.callState(), FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_FID, OpenFlags.READ_ONLY);
            if (number == -1 && NOT_SUPPORTED.contains(frame.errno())) {
                return Optional.empty();
            }
            frame.check(number, "fanotify_init", "FAN_REPORT_FID");
            Fd group = new Fd(number, CString.of("fanotify"));
            int result = LibC.fanotifyMark(
                    frame.callState(),
                    number,
                    FAN_MARK_ADD | FAN_MARK_FILESYSTEM,
                    FAN_FS_ERROR,
                    SystemCalls.AT_WORKING_DIRECTORY,
                    frame.string(name));
            if (result == 0) {
                return Optional.of(new FileSystemErrors(group));
            }
            group.close();
            if (NOT_SUPPORTED.contains(frame.errno())) {
                return Optional.empty();
            }
            throw frame.failure("fanotify_mark", "FAN_MARK_FILESYSTEM", "FAN_FS_ERROR", name);
        }
    }

    /**
     * One report.
     *
     * @param errno of the first error since the last report
     * @param count errors since the last report
     */
    public record Event(Errno errno, long count) {}

    /** For {@link Poll}. */
    public Fd fd() {
        return group;
    }

    /** What was reported since the last call. Never blocks. Records of a form that is not known are left out. */
    public List<Event> read() throws SyscallException {
        List<Event> events = new ArrayList<>();
        try (CallFrame frame = new CallFrame()) {
            MemorySegment buffer = frame.allocate(READ_BYTES);
            for (int reads = 0; reads < MOST_READS; reads++) {
                long lengthBytes = SystemCalls.readAvailable(group, buffer);
                if (lengthBytes == 0) {
                    break;
                }
                parse(buffer.asSlice(0, lengthBytes), events);
            }
        }
        return events;
    }

    private static void parse(MemorySegment records, List<Event> events) {
        long offset = 0;
        while (offset + METADATA_BYTES <= records.byteSize()) {
            long lengthBytes = Integer.toUnsignedLong(records.get(JAVA_INT_UNALIGNED, offset));
            if (lengthBytes < METADATA_BYTES || offset + lengthBytes > records.byteSize()) {
                return;
            }
            MemorySegment metadata = records.asSlice(offset, lengthBytes);
            if (metadata.get(JAVA_BYTE, VERSION_OFFSET) == METADATA_VERSION
                    && (metadata.get(JAVA_LONG_UNALIGNED, MASK_OFFSET) & FAN_FS_ERROR) != 0) {
                parseOne(metadata, events);
            }
            offset += lengthBytes;
        }
    }

    private static void parseOne(MemorySegment metadata, List<Event> events) {
        long offset = Short.toUnsignedLong(metadata.get(JAVA_SHORT_UNALIGNED, METADATA_LENGTH_OFFSET));
        while (offset + INFO_HEADER_BYTES <= metadata.byteSize()) {
            int lengthBytes = Short.toUnsignedInt(metadata.get(JAVA_SHORT_UNALIGNED, offset + INFO_LENGTH_OFFSET));
            if (lengthBytes < INFO_HEADER_BYTES || offset + lengthBytes > metadata.byteSize()) {
                return;
            }
            if (metadata.get(JAVA_BYTE, offset) == INFO_TYPE_ERROR && lengthBytes >= COUNT_OFFSET + Integer.BYTES) {
                int errno = metadata.get(JAVA_INT_UNALIGNED, offset + INFO_HEADER_BYTES);
                long count = Integer.toUnsignedLong(metadata.get(JAVA_INT_UNALIGNED, offset + COUNT_OFFSET));
                events.add(new Event(new Errno(Math.abs(errno)), count));
            }
            offset += lengthBytes;
        }
    }

    @Override
    public void close() {
        group.close();
    }
}
