package io.github.volatilesnapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What transactions cost the device: the filesystem makes flushes of its own out of what SQLite asks for. */
@Tag("kernel")
final class DeviceFlushTest {
    private static final int TRANSACTIONS = 400;

    @ParameterizedTest
    @EnumSource(names = {"EXT4", "XFS", "BTRFS"})
    void ordered_transactions_reach_the_device_with_the_next_durable_one_and_never_before(FileSystem fileSystem)
            throws Exception {
        try (Disk disk = FaultyDisk.create(fileSystem);
                SqliteSnapshotStore store = SqliteSnapshotStore.open(disk.root().resolve("metadata.db"))) {
            store.durable(_ -> null);
            disk.syncfs();
            Disk.Counters before = disk.counters();
            for (int id = 1; id <= TRANSACTIONS; id++) {
                SnapshotRecord record = Records.active(id, Records.containerKey(id), 0);
                store.ordered(transaction -> {
                    transaction.insert(record);
                    return null;
                });
            }
            assertThat(disk.counters().since(before).flushes()).as("ordered").isZero();
            store.durable(_ -> null);
            Disk.Counters flushed = disk.counters().since(before);
            assertThat(flushed.flushes()).as("durable").isPositive();
            assertThat(flushed.bytesWritten())
                    .as("the ordered ones before it")
                    .isGreaterThan((long) TRANSACTIONS * SqliteFile.PAGE_BYTES);
        }
    }
}
