package io.github.volatilesnapshotter.metadata;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The header of a write-ahead log (sqlite.org/fileformat.html, 4.1). SQLite takes a log whose header it can't read for an empty one,
 * and everything in it for never written: durable transactions too.
 */
final class LogHeader {
    static final int LENGTH_BYTES = 32;

    /**
     * The header is flushed with the first frames that follow it, so that a power cut can leave a log without one, but no long one.
     */
    private static final long MOST_UNFLUSHED_BYTES = 16 << 10;

    private static final int MAGIC = 0x377f0682;
    private static final int VERSION = 3_007_000;
    private static final int CHECKSUMMED_INTS = 6;

    private LogHeader() {}

    /** What is wrong with the log, for people; empty if it is well, or not there. */
    static Optional<String> damage(Path log) throws IOException {
        ByteBuffer header = DatabaseHeader.firstBytes(log, LENGTH_BYTES);
        if (header.remaining() < LENGTH_BYTES) {
            return Optional.empty();
        }
        if (isZero(header)) {
            return Files.size(log) <= MOST_UNFLUSHED_BYTES
                    ? Optional.empty()
                    : Optional.of("the header of its write-ahead log is empty");
        }
        // The last bit says in which order of bytes the checksums are made.
        if ((header.getInt(0) & ~1) != MAGIC || header.getInt(4) != VERSION) {
            return Optional.of("its write-ahead log is none");
        }
        return isChecksumRight(header)
                ? Optional.empty()
                : Optional.of("the header of its write-ahead log does not match its checksum");
    }

    private static boolean isZero(ByteBuffer header) {
        for (int position = 0; position < LENGTH_BYTES; position++) {
            if (header.get(position) != 0) {
                return false;
            }
        }
        return true;
    }

    private static boolean isChecksumRight(ByteBuffer header) {
        ByteOrder order = (header.getInt(0) & 1) == 0 ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN;
        ByteBuffer summed = header.duplicate().order(order);
        int first = 0;
        int second = 0;
        for (int index = 0; index < CHECKSUMMED_INTS; index += 2) {
            first += summed.getInt(index * Integer.BYTES) + second;
            second += summed.getInt((index + 1) * Integer.BYTES) + first;
        }
        int stored = CHECKSUMMED_INTS * Integer.BYTES;
        return header.getInt(stored) == first && header.getInt(stored + Integer.BYTES) == second;
    }
}
