package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.ByteBuffer;

/**
 * Bytes in memory outside of the heap, which takes only the chunks that something other than zeros was written to.
 *
 * <p>The JVM's {@code -XX:MaxDirectMemorySize} is the bound, so that a test that runs wild cannot eat the machine.
 */
final class SparseMemory implements BlockStore {
    /** The unit of allocation. */
    static final int CHUNK_BYTES = 64 * 1024;

    private static final ByteBuffer ZEROS = ByteBuffer.allocate(CHUNK_BYTES).asReadOnlyBuffer();

    private final ByteBuffer[] chunks;

    SparseMemory(long bytes) {
        chunks = new ByteBuffer[Math.toIntExact(bytes / CHUNK_BYTES)];
    }

    @Override
    public synchronized void read(ByteBuffer into, long offset) {
        long position = offset;
        while (into.hasRemaining()) {
            int within = within(position);
            int length = Math.min(into.remaining(), CHUNK_BYTES - within);
            ByteBuffer chunk = chunks[chunk(position)];
            into.put((chunk == null ? ZEROS : chunk).slice(within, length));
            position += length;
        }
    }

    @Override
    public synchronized void write(ByteBuffer from, long offset) throws IOException {
        long position = offset;
        while (from.hasRemaining()) {
            int within = within(position);
            int length = Math.min(from.remaining(), CHUNK_BYTES - within);
            ByteBuffer part = from.slice(from.position(), length);
            // A new file system consists of zeros for the most part.
            if (chunks[chunk(position)] != null || part.mismatch(ZEROS.slice(0, length)) >= 0) {
                allocated(chunk(position)).put(within, part, 0, length);
            }
            from.position(from.position() + length);
            position += length;
        }
    }

    private ByteBuffer allocated(int chunk) throws IOException {
        if (chunks[chunk] == null) {
            try {
                chunks[chunk] = ByteBuffer.allocateDirect(CHUNK_BYTES);
            } catch (OutOfMemoryError e) {
                throw new IOException("no memory for " + CHUNK_BYTES + " bytes more", e);
            }
        }
        return chunks[chunk];
    }

    /** Whether the chunk at an offset has been given nothing but zeros; one that has may be all zeros again. */
    synchronized boolean isHole(long offset) {
        return chunks[chunk(offset)] == null;
    }

    /** Memory has nothing that a power cut would leave. */
    @Override
    public void flush() {}

    private static int chunk(long position) {
        return (int) (position / CHUNK_BYTES);
    }

    private static int within(long position) {
        return (int) (position % CHUNK_BYTES);
    }
}
