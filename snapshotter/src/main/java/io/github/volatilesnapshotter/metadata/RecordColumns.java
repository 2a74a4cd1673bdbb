package io.github.volatilesnapshotter.metadata;

import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Types;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A record as the columns of table {@code snapshot}, and back. */
final class RecordColumns {
    private static final long NANOS_PER_SECOND = 1_000_000_000L;
    private static final int ID = 1;
    private static final int KEY = 2;
    private static final int KIND = 3;
    private static final int PARENT_ID = 4;
    private static final int CREATED_AT = 5;
    private static final int UPDATED_AT = 6;
    private static final int LABELS = 7;
    private static final int POOL = 8;
    private static final int UPPER = 9;
    private static final int UPPER_COLUMNS = 5;
    private static final int POISON = UPPER + UPPER_COLUMNS;
    private static final int POISON_COLUMNS = 5;
    private static final int USAGE = POISON + POISON_COLUMNS;
    private static final int USAGE_COLUMNS = 2;
    private static final int CHECKSUM = USAGE + USAGE_COLUMNS;
    private static final int WRITTEN_BY = CHECKSUM + 1;

    static final String SELECT_ALL = """
            SELECT id, key, kind, parent_id, created_at_nanos, updated_at_nanos, labels, pool,
                   upper_role, upper_pool, upper_boot_id, upper_superblock, upper_generation,
                   poison_reason, poison_errno, poison_device, poison_at_nanos, poison_files,
                   usage_size_bytes, usage_inodes, checksum, written_by
            FROM snapshot ORDER BY id""";

    static final String INSERT = """
            INSERT INTO snapshot (id, key, kind, parent_id, created_at_nanos, updated_at_nanos, labels, pool,
                   upper_role, upper_pool, upper_boot_id, upper_superblock, upper_generation,
                   poison_reason, poison_errno, poison_device, poison_at_nanos, poison_files,
                   usage_size_bytes, usage_inodes, checksum, written_by)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21,
                   ?22)""";

    private static final String SET_UNINDEXED = """
            kind = ?3, created_at_nanos = ?5, updated_at_nanos = ?6, labels = ?7, pool = ?8,
            upper_role = ?9, upper_pool = ?10, upper_boot_id = ?11, upper_superblock = ?12, upper_generation = ?13,
            poison_reason = ?14, poison_errno = ?15, poison_device = ?16, poison_at_nanos = ?17, poison_files = ?18,
            usage_size_bytes = ?19, usage_inodes = ?20, checksum = ?21, written_by = ?22
            WHERE id = ?1""";

    static final String UPDATE_UNINDEXED = "UPDATE snapshot SET " + SET_UNINDEXED;
    static final String UPDATE_ALL = "UPDATE snapshot SET key = ?2, parent_id = ?4, " + SET_UNINDEXED;

    /** Of all records in a JSON array, each an array of id and checksum. */
    static final String UPDATE_POISON = """
            UPDATE snapshot SET
            poison_reason = ?2, poison_errno = ?3, poison_device = ?4, poison_at_nanos = ?5, poison_files = ?6,
            checksum = poisoned.value ->> 1, written_by = ?7
            FROM json_each(?1) AS poisoned WHERE snapshot.id = poisoned.value ->> 0""";

    private RecordColumns() {}

    /** For {@link #UPDATE_POISON}. */
    static void bindPoisonOf(
            PreparedStatement statement, Stream<SnapshotRecord> records, Poison poison, long transaction)
            throws SQLException {
        String checksums = records.map(
                        record -> "[" + record.id() + "," + RecordChecksum.of(record, lines(record.labels())) + "]")
                .collect(Collectors.joining(",", "[", "]"));
        statement.setString(1, checksums);
        bindPoison(statement, 2, poison);
        statement.setLong(2 + POISON_COLUMNS, transaction);
    }

    /** @param transaction number of the one that writes it */
    static void bind(PreparedStatement statement, SnapshotRecord record, long transaction) throws SQLException {
        statement.setLong(ID, record.id());
        statement.setString(KEY, record.key());
        statement.setString(KIND, word(record.kind()));
        if (record.hasParent()) {
            statement.setLong(PARENT_ID, record.parentId());
        } else {
            statement.setNull(PARENT_ID, Types.INTEGER);
        }
        statement.setLong(CREATED_AT, nanos(record.createdAt()));
        statement.setLong(UPDATED_AT, nanos(record.updatedAt()));
        String labelLines = lines(record.labels());
        statement.setString(LABELS, labelLines);
        statement.setString(POOL, record.pool());
        bindUpper(statement, record.upper());
        bindPoison(statement, POISON, record.poison());
        bindUsage(statement, record.usage());
        statement.setLong(CHECKSUM, RecordChecksum.of(record, labelLines));
        statement.setLong(WRITTEN_BY, transaction);
    }

    private static void bindUpper(PreparedStatement statement, @Nullable Upper upper) throws SQLException {
        if (upper == null) {
            bindNulls(statement, UPPER, UPPER_COLUMNS);
            return;
        }
        statement.setString(UPPER, word(upper.role()));
        statement.setString(UPPER + 1, upper.pool());
        statement.setString(UPPER + 2, upper.bootId());
        statement.setString(UPPER + 3, upper.superblock());
        statement.setLong(UPPER + 4, upper.generation());
    }

    private static void bindPoison(PreparedStatement statement, int first, @Nullable Poison poison)
            throws SQLException {
        if (poison == null) {
            bindNulls(statement, first, POISON_COLUMNS);
            return;
        }
        statement.setString(first, poison.reason());
        statement.setString(first + 1, poison.errno());
        statement.setString(first + 2, poison.device());
        statement.setLong(first + 3, nanos(poison.at()));
        statement.setString(first + 4, EscapedLines.join(poison.files()));
    }

    private static void bindUsage(PreparedStatement statement, @Nullable RecordedUsage usage) throws SQLException {
        if (usage == null) {
            bindNulls(statement, USAGE, USAGE_COLUMNS);
            return;
        }
        statement.setLong(USAGE, usage.sizeBytes());
        statement.setLong(USAGE + 1, usage.inodes());
    }

    private static void bindNulls(PreparedStatement statement, int first, int count) throws SQLException {
        for (int column = first; column < first + count; column++) {
            statement.setNull(column, Types.NULL);
        }
    }

    /** Number of the transaction that has written the current row of {@link #SELECT_ALL}. */
    static long transaction(ResultSet row) throws SQLException {
        return row.getLong(WRITTEN_BY);
    }

    /**
     * The record in the current row of {@link #SELECT_ALL}.
     *
     * @throws IllegalArgumentException if it is not as it was written
     */
    static SnapshotRecord read(ResultSet row, SharedStrings strings) throws SQLException {
        String labelLines = row.getString(LABELS);
        SnapshotRecord record = read(row, labelLines, strings);
        long checksum = row.getLong(CHECKSUM);
        if (!row.wasNull() && checksum != RecordChecksum.of(record, labelLines)) {
            throw new IllegalArgumentException("record " + record.id() + " does not match its checksum");
        }
        return record;
    }

    private static SnapshotRecord read(ResultSet row, String labelLines, SharedStrings strings) throws SQLException {
        long createdAtNanos = row.getLong(CREATED_AT);
        long updatedAtNanos = row.getLong(UPDATED_AT);
        Instant createdAt = instant(createdAtNanos);
        return new SnapshotRecord(
                row.getLong(ID),
                row.getString(KEY),
                RecordKind.valueOf(constant(row.getString(KIND))),
                row.getLong(PARENT_ID),
                createdAt,
                updatedAtNanos == createdAtNanos ? createdAt : instant(updatedAtNanos),
                labels(labelLines, strings),
                strings.share(row.getString(POOL)),
                readUpper(row, strings),
                readPoison(row),
                readUsage(row));
    }

    private static @Nullable Upper readUpper(ResultSet row, SharedStrings strings) throws SQLException {
        String role = row.getString(UPPER);
        if (role == null) {
            return null;
        }
        return strings.share(new Upper(
                Role.valueOf(constant(role)),
                row.getString(UPPER + 1),
                row.getString(UPPER + 2),
                row.getString(UPPER + 3),
                row.getLong(UPPER + 4)));
    }

    private static @Nullable Poison readPoison(ResultSet row) throws SQLException {
        String reason = row.getString(POISON);
        if (reason == null) {
            return null;
        }
        return new Poison(
                reason,
                row.getString(POISON + 1),
                row.getString(POISON + 2),
                instant(row.getLong(POISON + 3)),
                EscapedLines.split(row.getString(POISON + 4)));
    }

    private static @Nullable RecordedUsage readUsage(ResultSet row) throws SQLException {
        long sizeBytes = row.getLong(USAGE);
        return row.wasNull() ? null : new RecordedUsage(sizeBytes, row.getLong(USAGE + 1));
    }

    private static String lines(Map<String, String> labels) {
        if (labels.isEmpty()) {
            return "";
        }
        StringBuilder lines = new StringBuilder();
        labels.forEach((key, value) -> {
            EscapedLines.append(lines, key);
            EscapedLines.append(lines, value);
        });
        return lines.toString();
    }

    private static Map<String, String> labels(String lines, SharedStrings strings) {
        if (lines.isEmpty()) {
            return Map.of();
        }
        List<String> keysAndValues = EscapedLines.split(lines);
        if (keysAndValues.size() % 2 != 0) {
            throw new IllegalArgumentException("a label without a value: " + lines);
        }
        Map<String, String> labels = HashMap.newHashMap(keysAndValues.size() / 2);
        for (int i = 0; i < keysAndValues.size(); i += 2) {
            labels.put(strings.share(keysAndValues.get(i)), keysAndValues.get(i + 1));
        }
        return labels;
    }

    private static String word(Enum<?> constant) {
        return constant.name().toLowerCase(Locale.ROOT);
    }

    private static String constant(String word) {
        return word.toUpperCase(Locale.ROOT);
    }

    static long nanos(Instant time) {
        return Math.addExact(Math.multiplyExact(time.getEpochSecond(), NANOS_PER_SECOND), time.getNano());
    }

    private static Instant instant(long nanos) {
        return Instant.ofEpochSecond(Math.floorDiv(nanos, NANOS_PER_SECOND), Math.floorMod(nanos, NANOS_PER_SECOND));
    }
}
