package io.github.volatilesnapshotter.metadata;

import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32C;

/** Of everything in a record, so that a flipped bit on the disk does not make another snapshot of it. */
final class RecordChecksum {
    private static final int USUAL_LENGTH = 512;

    private RecordChecksum() {}

    /** @param labelLines as stored: a map has no order of its own */
    static long of(SnapshotRecord record, String labelLines) {
        // Encoded at once: ten thousand records are checked at a start, by code that is hardly compiled yet.
        StringBuilder all = new StringBuilder(USUAL_LENGTH);
        add(all, record.id());
        add(all, record.key());
        add(all, record.kind().name());
        add(all, record.parentId());
        add(all, RecordColumns.nanos(record.createdAt()));
        add(all, RecordColumns.nanos(record.updatedAt()));
        add(all, labelLines);
        add(all, record.pool());
        Upper upper = record.upper();
        if (upper != null) {
            add(all, upper.role().name());
            add(all, upper.pool());
            add(all, upper.bootId());
            add(all, upper.superblock());
            add(all, upper.generation());
        }
        Poison poison = record.poison();
        if (poison != null) {
            add(all, poison.reason());
            add(all, poison.errno());
            add(all, poison.device());
            add(all, RecordColumns.nanos(poison.at()));
            add(all, EscapedLines.join(poison.files()));
        }
        RecordedUsage usage = record.usage();
        if (usage != null) {
            add(all, usage.sizeBytes());
            add(all, usage.inodes());
        }
        CRC32C sum = new CRC32C();
        sum.update(all.toString().getBytes(StandardCharsets.UTF_8));
        return sum.getValue();
    }

    /** With its length, so that nothing moves from one text to the next. */
    private static void add(StringBuilder all, String text) {
        all.append(text.length()).append(':').append(text);
    }

    private static void add(StringBuilder all, long number) {
        all.append(number).append(';');
    }
}
