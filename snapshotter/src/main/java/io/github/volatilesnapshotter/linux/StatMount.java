package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * <a href="https://man7.org/linux/man-pages/man2/statmount.2.html">statmount(2)</a>: one mount's options in about 10 us,
 * where reading mountinfo takes a time in proportion to the number of mounts. Linux 6.8, the options 6.11. glibc has no
 * wrapper for it here; structs as in include/uapi/linux/mount.h.
 */
final class StatMount {
    /** The same on every architecture. */
    private static final long NUMBER = 457;

    private static final long WANT_SUPERBLOCK = 0x1;
    private static final long WANT_MOUNT_OPTIONS = 0x80;
    private static final long WANTED = WANT_SUPERBLOCK | WANT_MOUNT_OPTIONS;
    private static final int SUPERBLOCK_READ_ONLY = 1;
    private static final int REQUEST_SIZE_BYTES = 24;
    private static final int STRINGS_OFFSET = 512;
    /** 500 layers of 255 bytes, each byte escaped in four, is half of that. */
    private static final int LARGEST_ANSWER_BYTES = 1024 * 1024;

    private static final int FIRST_ANSWER_BYTES = 16 * 1024;
    private static final int GROWTH = 8;

    private StatMount() {}

    /** As in mountinfo, beginning with ro or rw; null if this kernel cannot say, or had no unique id to give. */
    static @Nullable List<String> superOptions(@Nullable Long uniqueMountId) throws SyscallException {
        if (uniqueMountId == null) {
            return null;
        }
        for (int sizeBytes = FIRST_ANSWER_BYTES; ; sizeBytes *= GROWTH) {
            try (CallFrame frame = new CallFrame()) {
                MemorySegment answer = frame.allocate(sizeBytes);
                long result = LibC.syscall(
                        frame.callState(),
                        NUMBER,
                        request(frame, uniqueMountId).address(),
                        answer.address(),
                        sizeBytes,
                        0,
                        0);
                if (result == 0) {
                    return optionsIn(answer);
                }
                Errno errno = frame.errno();
                if (errno.is(Errno.ENOSYS)) {
                    return null;
                }
                if (!errno.is(Errno.EOVERFLOW) || sizeBytes >= LARGEST_ANSWER_BYTES) {
                    throw frame.failure("statmount", uniqueMountId, sizeBytes + " bytes");
                }
            }
        }
    }

    private static MemorySegment request(CallFrame frame, long uniqueMountId) {
        MemorySegment request = frame.allocate(REQUEST_SIZE_BYTES);
        request.set(JAVA_INT, 0, REQUEST_SIZE_BYTES);
        request.set(JAVA_LONG, 8, uniqueMountId);
        request.set(JAVA_LONG, 16, WANTED);
        return request;
    }

    private static @Nullable List<String> optionsIn(MemorySegment answer) {
        if ((answer.get(JAVA_LONG, 8) & WANTED) != WANTED) {
            return null;
        }
        List<String> options = new ArrayList<>();
        options.add((answer.get(JAVA_INT, 32) & SUPERBLOCK_READ_ONLY) == 0 ? "rw" : "ro");
        String others =
                CString.read(answer, STRINGS_OFFSET + answer.get(JAVA_INT, 4)).toCharactersOfOneByte();
        if (!others.isEmpty()) {
            options.addAll(MountInfo.options(others));
        }
        return options;
    }
}
