package io.github.volatilesnapshotter.metadata;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Optional;

/**
 * What the first bytes of a SQLite file say (sqlite.org/fileformat.html, 1.3), without SQLite: opening a file makes a log beside it,
 * and then nobody can say any more whether there was one.
 *
 * @param applicationId of {@link Schema}
 */
record DatabaseHeader(int applicationId) {
    private static final int LENGTH_BYTES = 100;
    private static final int APPLICATION_ID_OFFSET = 68;

    /** Empty if the file is not there, or too short to have a header. */
    static Optional<DatabaseHeader> read(Path file) throws IOException {
        ByteBuffer bytes = firstBytes(file, LENGTH_BYTES);
        return bytes.remaining() < LENGTH_BYTES
                ? Optional.empty()
                : Optional.of(new DatabaseHeader(bytes.getInt(APPLICATION_ID_OFFSET)));
    }

    /** Fewer if the file has fewer, none if it is not there. */
    static ByteBuffer firstBytes(Path file, int count) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(count);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            while (bytes.hasRemaining() && channel.read(bytes) >= 0) {}
        } catch (NoSuchFileException _) {
            // None, as it says.
        }
        return bytes.flip();
    }
}
