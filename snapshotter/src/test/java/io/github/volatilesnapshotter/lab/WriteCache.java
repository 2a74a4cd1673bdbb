package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Iterator;
import java.util.Map;

/**
 * A disk's volatile write cache: what was written since the last flush may be lost, all of it or in part.
 *
 * <p>Reads see every write. Beside the bytes this keeps what each write since the last flush has replaced, so that an image can
 * go back: for each sector from the latest write to the earliest, until one of them is there. A flush only forgets. While an
 * image is taken the disk goes on; what is written meanwhile is replaced as well, and the image always goes back over it.
 *
 * <p>Bounded: what has no room any more has reached the medium, the oldest first, as in a real cache.
 */
final class WriteCache implements BlockStore {
    private static final int SECTORS_OF_CHUNK = SparseMemory.CHUNK_BYTES / Disk.SECTOR_BYTES;

    private final SparseMemory memory;
    private final long bytes;
    private final long maxReplacedBytes;

    // What was replaced and may come back, in the order of the writes; and the same for each chunk.
    private final ArrayDeque<Replaced> replaced = new ArrayDeque<>();
    private final Map<Integer, ArrayDeque<Replaced>> replacedInChunk = new HashMap<>();
    private long replacedBytes;

    private long nextWrite;
    private long flushedBefore;
    private boolean isImageTaken;

    /**
     * A part of what a write has replaced, within one chunk.
     *
     * @param write its number
     * @param offset of the first byte
     * @param length in bytes
     * @param before the bytes that were there; null if nothing was
     */
    private record Replaced(long write, long offset, int length, ByteBuffer before) {
        // Of the objects themselves, about.
        private static final int OVERHEAD_BYTES = 128;

        int chunk() {
            return (int) (offset / SparseMemory.CHUNK_BYTES);
        }

        int within() {
            return (int) (offset % SparseMemory.CHUNK_BYTES);
        }

        int cost() {
            return OVERHEAD_BYTES + (before == null ? 0 : before.capacity());
        }
    }

    /**
     * A cache in front of a medium.
     *
     * @param bytes size of the disk
     * @param maxReplacedBytes how much memory may be taken for what may come back
     */
    WriteCache(SparseMemory memory, long bytes, long maxReplacedBytes) {
        this.memory = memory;
        this.bytes = bytes;
        this.maxReplacedBytes = maxReplacedBytes;
    }

    @Override
    public void read(ByteBuffer into, long offset) {
        memory.read(into, offset);
    }

    @Override
    public synchronized void write(ByteBuffer from, long offset) throws IOException {
        awaitRoom();
        for (long position = offset, end = offset + from.remaining(); position < end; ) {
            int length = (int) Math.min(end - position, SparseMemory.CHUNK_BYTES - position % SparseMemory.CHUNK_BYTES);
            remember(new Replaced(nextWrite, position, length, memory.isHole(position) ? null : now(position, length)));
            position += length;
        }
        nextWrite++;
        memory.write(from, offset);
    }

    private ByteBuffer now(long position, int length) {
        ByteBuffer content = ByteBuffer.allocate(length);
        memory.read(content, position);
        return content;
    }

    private void remember(Replaced part) {
        replaced.addLast(part);
        replacedInChunk.computeIfAbsent(part.chunk(), _ -> new ArrayDeque<>(2)).addLast(part);
        replacedBytes += part.cost();
    }

    private void awaitRoom() throws IOException {
        try {
            // Only an image that is taken keeps more than the bound: this long the disk stands still.
            while (replacedBytes > maxReplacedBytes && isImageTaken) {
                wait();
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
        while (replacedBytes > maxReplacedBytes) {
            forgetOldest();
        }
    }

    private void forgetOldest() {
        Replaced oldest = replaced.removeFirst();
        replacedInChunk.computeIfPresent(oldest.chunk(), (_, parts) -> {
            parts.removeFirst();
            return parts.isEmpty() ? null : parts;
        });
        replacedBytes -= oldest.cost();
    }

    @Override
    public synchronized void flush() {
        flushedBefore = nextWrite;
        if (!isImageTaken) {
            forgetFlushed();
        }
    }

    private void forgetFlushed() {
        if (flushedBefore == nextWrite) {
            replaced.clear();
            replacedInChunk.clear();
            replacedBytes = 0;
        }
        while (!replaced.isEmpty() && replaced.getFirst().write() < flushedBefore) {
            forgetOldest();
        }
    }

    /** Writes that may be lost. */
    synchronized long unflushedWrites() {
        return nextWrite - flushedBefore;
    }

    /**
     * Writes to a new sparse file what a power cut at one moment during the call might leave. The disk goes on.
     *
     * @param seed decides which writes are there
     */
    void writeImage(Path file, long seed) throws IOException {
        Moment moment = begin(seed);
        try (FileChannel image = FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
            // The whole length, whatever is a hole.
            writeWhole(image, ByteBuffer.allocate(1), bytes - 1);
            ByteBuffer chunk = ByteBuffer.allocateDirect(SparseMemory.CHUNK_BYTES);
            for (long offset = 0; offset < bytes; offset += SparseMemory.CHUNK_BYTES) {
                if (readAt(moment, chunk.clear(), offset)) {
                    writeWhole(image, chunk.flip(), offset);
                }
            }
        } finally {
            end();
        }
    }

    private static void writeWhole(FileChannel image, ByteBuffer content, long offset) throws IOException {
        while (content.hasRemaining()) {
            image.write(content, offset + content.position());
        }
    }

    /** What a power cut may lose: writes from the first to before the second; those after it have not happened. */
    private record Moment(long firstLost, long end, WriteLoss loss) {
        boolean leaves(long write, long sector) {
            return write < end && (write < firstLost || loss.keeps(write, sector));
        }
    }

    private synchronized Moment begin(long seed) {
        if (isImageTaken) {
            throw new IllegalStateException("one image at a time");
        }
        isImageTaken = true;
        return new Moment(flushedBefore, nextWrite, new WriteLoss(seed));
    }

    private synchronized void end() {
        isImageTaken = false;
        forgetFlushed();
        notifyAll();
    }

    /** Fills a chunk with what it was at the moment; false if it is a hole, and then it is not filled. */
    private synchronized boolean readAt(Moment moment, ByteBuffer chunk, long offset) {
        if (memory.isHole(offset)) {
            return false;
        }
        memory.read(chunk, offset);
        ArrayDeque<Replaced> parts = replacedInChunk.get((int) (offset / SparseMemory.CHUNK_BYTES));
        if (parts != null) {
            boolean[] isDecided = new boolean[SECTORS_OF_CHUNK];
            for (Iterator<Replaced> latestFirst = parts.descendingIterator(); latestFirst.hasNext(); ) {
                goBack(moment, latestFirst.next(), chunk, isDecided);
            }
        }
        return true;
    }

    private static void goBack(Moment moment, Replaced part, ByteBuffer chunk, boolean[] isDecided) {
        for (int within = part.within(); within < part.within() + part.length(); within += Disk.SECTOR_BYTES) {
            int sector = within / Disk.SECTOR_BYTES;
            if (isDecided[sector]) {
                continue;
            }
            if (moment.leaves(part.write(), (long) part.chunk() * SECTORS_OF_CHUNK + sector)) {
                isDecided[sector] = true;
            } else if (part.before() == null) {
                chunk.put(within, new byte[Disk.SECTOR_BYTES]);
            } else {
                chunk.put(within, part.before(), within - part.within(), Disk.SECTOR_BYTES);
            }
        }
    }
}
