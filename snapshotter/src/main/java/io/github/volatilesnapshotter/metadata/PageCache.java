package io.github.volatilesnapshotter.metadata;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * Whether what reading a file shows is on disk. A page that could not be written back is clean afterwards, and reading shows it as long
 * as it stays in memory; the error is told once, to whoever flushed first, who may be dead by now. What is appended behind such a page
 * and flushed is lost with it at the next power cut.
 */
final class PageCache {
    private static final int CHUNK_BYTES = 256 * 1024;
    private static final int ALIGNMENT_BYTES = 4096;

    private PageCache() {}

    /**
     * Flushes the file, and reads it twice: as everybody does, and past the cache. The file must not be changed meanwhile.
     *
     * @return false also if the flush fails; true if the filesystem can't be read past the cache
     * @throws IOException if it can't be read at all
     */
    static boolean isOnDisk(Path file) throws IOException {
        try (FileChannel cached = FileChannel.open(file, StandardOpenOption.READ)) {
            try {
                cached.force(true);
            } catch (IOException _) {
                return false;
            }
            return isOnDisk(file, cached);
        }
    }

    private static boolean isOnDisk(Path file, FileChannel cached) throws IOException {
        int blockBytes = Math.toIntExact(
                Math.max(ALIGNMENT_BYTES, Files.getFileStore(file).getBlockSize()));
        try (FileChannel disk = openPastTheCache(file)) {
            ByteBuffer onDisk =
                    ByteBuffer.allocateDirect(CHUNK_BYTES + blockBytes).alignedSlice(blockBytes);
            ByteBuffer inMemory = ByteBuffer.allocate(CHUNK_BYTES);
            for (long position = 0; position < cached.size(); position += CHUNK_BYTES) {
                fill(inMemory, cached, position);
                onDisk.clear().limit(CHUNK_BYTES);
                int _ = disk.read(onDisk, position);
                if (!inMemory.equals(onDisk.flip())) {
                    return false;
                }
            }
            return true;
        } catch (UnsupportedOperationException _) {
            return true;
        }
    }

    /**
     * open(2) says EINVAL on a filesystem that knows no O_DIRECT, as tmpfs before Linux 6.6. Java has no name for that, but the same
     * file can be opened in the ordinary way then; not so where descriptors or memory have run out.
     *
     * @throws UnsupportedOperationException if the filesystem can't be read past the cache
     */
    private static FileChannel openPastTheCache(Path file) throws IOException {
        try {
            return FileChannel.open(file, StandardOpenOption.READ, pastTheCache());
        } catch (FileSystemException e) {
            try (FileChannel _ = FileChannel.open(file, StandardOpenOption.READ)) {
                throw new UnsupportedOperationException(e);
            } catch (IOException _) {
                throw e;
            }
        }
    }

    /** O_DIRECT: in a package of the JDK that javac warns of, with no way to say that it is meant. */
    private static OpenOption pastTheCache() {
        try {
            return (OpenOption) Class.forName("com.sun.nio.file.ExtendedOpenOption")
                    .getField("DIRECT")
                    .get(null);
        } catch (ReflectiveOperationException e) {
            throw new UnsupportedOperationException(e);
        }
    }

    private static void fill(ByteBuffer buffer, FileChannel channel, long position) throws IOException {
        buffer.clear();
        int count = 0;
        while (buffer.hasRemaining() && count >= 0) {
            count = channel.read(buffer, position + buffer.position());
        }
        buffer.flip();
    }
}
