package io.github.volatilesnapshotter.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/** Reading past the page cache: what is read comes from the device (O_DIRECT of open(2)). */
public final class DirectRead {
    /** No device has larger blocks below a filesystem of Linux. */
    public static final int BLOCK_BYTES = 4096;

    private DirectRead() {}

    /**
     * Reads the first {@value #BLOCK_BYTES} bytes of a file. Waits for the device, if the file has a block there at all; never returns on one
     * that hangs. Changes nothing, and an error is nobody else's.
     *
     * @return the number of bytes, fewer if the file is shorter
     * @throws SyscallException EINVAL if its filesystem can't read so
     */
    public static long ofFirstBlock(Path file) throws SyscallException {
        try (Arena arena = Arena.ofConfined();
                Fd opened = SystemCalls.open(file, OpenFlags.READ_ONLY | OpenFlags.DIRECT, 0)) {
            MemorySegment block = arena.allocate(BLOCK_BYTES, BLOCK_BYTES);
            return SystemCalls.readAvailable(opened, block);
        }
    }
}
