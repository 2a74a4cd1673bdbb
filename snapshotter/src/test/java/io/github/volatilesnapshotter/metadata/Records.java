package io.github.volatilesnapshotter.metadata;

import java.time.Instant;
import java.util.Map;

/** Records as containerd's clients make them. */
final class Records {
    static final Instant SOME_TIME = Instant.parse("2026-11-22T10:11:12.123456789Z");
    private static final String BOOT_ID = "6e1c1dd4-3e3a-4b6f-9f0e-2f7f5d1b7a55";

    private Records() {}

    static SnapshotRecord committed(long id, String name, long parentId) {
        return new SnapshotRecord(
                id,
                name,
                RecordKind.COMMITTED,
                parentId,
                SOME_TIME,
                SOME_TIME,
                Map.of("containerd.io/snapshot.ref", "sha256:59b1e6b0"),
                "main",
                null,
                null,
                new RecordedUsage(4_096, 1));
    }

    static SnapshotRecord active(long id, String key, long parentId) {
        return new SnapshotRecord(
                id,
                key,
                RecordKind.ACTIVE,
                parentId,
                SOME_TIME,
                SOME_TIME,
                Map.of(),
                "main",
                new Upper(Role.VOLATILE, "main", BOOT_ID, "8:1", 0),
                null,
                null);
    }

    /** A container's key as containerd's metadata store makes it: namespace, sequence, 64 hexadecimal digits. */
    static String containerKey(long sequence) {
        return "k8s.io/" + sequence + "/" + String.format("%064x", sequence * 0x9e3779b97f4a7c15L);
    }
}
