package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.BOUND;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What makes a failed writeback dangerous: the page is clean, is dropped, and what was in the file before is read again. Whoever asks the
 * snapshotter from that moment on is told that the snapshot is poisoned, in every round: it asks the kernel, which knew before.
 *
 * <p>Whether it was recorded by then, and so the container's end has begun, is decided by nothing but speed. Memory that runs short drops pages after minutes or never; the reader here drops all pages of the machine
 * again and again, and shares two cores with the daemon, the disk's own process and the writer. Measured on ext4, xfs and btrfs: with
 * other work on the machine the record of the poison came first in 47 of 48 rounds; without, where dropping takes a millisecond, in 31
 * of 48, and in the others 7 ms late at most, but 35 ms at the first error in the life of a virtual machine. So this shows how late it is at
 * most, and prints how every round went.
 */
@Tag("kernel")
class StaleReadTest {
    private static final int ROUNDS = 8;

    /** Several times what was measured. */
    private static final long LATEST_MICROS = 250_000;

    private static final int FILE_BYTES = 1 << 20;

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_snapshot_is_known_to_be_poisoned_when_its_old_data_are_read_again_and_recorded_before_or_moments_after(
            Disk.FileSystem fileSystem) throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root())) {
            List<Long> leadMicros = new ArrayList<>();
            for (int round = 0; round < ROUNDS; round++) {
                try (Observer observer = Observer.on(disk, "observer-" + round)) {
                    leadMicros.add(leadMicros(disk, fixture, "default/" + round + "/container"));
                    assertThat(observer.error()).contains(Errno.EIO);
                }
                disk.heal();
                // A superblock with so many errors within a minute takes no volatile uppers: this one does not know it.
                fixture.restart();
            }
            long earlier = leadMicros.stream().filter(micros -> micros > 0).count();
            System.out.printf(
                    "%s: poisoned before the old data were read in %d of %d rounds, us: %s%n",
                    fileSystem, earlier, ROUNDS, leadMicros);
            assertThat(leadMicros).allSatisfy(micros -> assertThat(micros).isGreaterThan(-LATEST_MICROS));
        }
    }

    /** From the moment when the poison is recorded to the first read of old data. */
    private static long leadMicros(FuseDisk disk, RunningSnapshotterFixture fixture, String key) throws Exception {
        Path merged = Path.of(
                fixture.snapshotter().prepare(key, "", Map.of()).getFirst().source());
        Path file = merged.resolve("data");
        Path below = merged.resolveSibling("fs").resolve("data");
        Disk.writeDirty(file, FILE_BYTES);
        Disk.fsync(below);
        byte[] content = Files.readAllBytes(file);
        // Behind the mark of the first sector.
        int changed = Disk.dataMarker().length;
        byte before = content[changed];
        content[changed]++;
        disk.fail(Blocks.DATA);
        Files.write(file, content, StandardOpenOption.WRITE);

        Future<OldRead> reader = inAThread(() -> {
            long readNanos = awaitOldByte(file, changed, before);
            return new OldRead(readNanos, fixture.snapshotter().stat(key).labels());
        });
        assertThatThrownBy(() -> Disk.fsync(below)).isInstanceOf(IOException.class);
        await().atMost(BOUND).until(() -> fixture.poisonedNanos.containsKey(key));
        OldRead oldRead = reader.get(BOUND.toSeconds(), TimeUnit.SECONDS);
        assertThat(oldRead.labels()).containsEntry(Labels.POISONED, PoisonReason.WRITEBACK_ERROR.word());
        FailureScene.refused(
                Category.FAILED_PRECONDITION, key, () -> fixture.snapshotter().mounts(key));
        return TimeUnit.NANOSECONDS.toMicros(oldRead.nanos() - fixture.poisonedNanos.get(key));
    }

    /** @param labels that the snapshotter showed right after it */
    private record OldRead(long nanos, Map<String, String> labels) {}

    /** Drops all clean pages of the machine and reads, as fast as it can. */
    private static long awaitOldByte(Path file, int offset, byte before) throws IOException {
        long deadlineNanos = System.nanoTime() + BOUND.toNanos();
        // Pages only, without inodes and names: that is faster.
        ByteBuffer pages = ByteBuffer.wrap(new byte[] {'1'});
        ByteBuffer read = ByteBuffer.allocate(1);
        try (FileChannel drop = FileChannel.open(Path.of("/proc/sys/vm/drop_caches"), StandardOpenOption.WRITE);
                FileChannel reader = FileChannel.open(file, StandardOpenOption.READ)) {
            while (System.nanoTime() < deadlineNanos) {
                drop.write(pages.rewind(), 0);
                reader.read(read.clear(), offset);
                if (read.get(0) == before) {
                    return System.nanoTime();
                }
            }
        }
        throw new IOException("the old data did not come back");
    }

    private static Future<OldRead> inAThread(Callable<OldRead> reading) {
        FutureTask<OldRead> task = new FutureTask<>(reading);
        Thread.ofPlatform().daemon().start(task);
        return task;
    }
}
