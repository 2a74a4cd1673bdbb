package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.BOUND;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What makes a failed writeback dangerous: the page is clean, is dropped, and what was in the file before is read again. The snapshot
 * has to be poisoned by then.
 *
 * <p>Nothing but speed decides it: from the mark of the error to the record of the poison it is a millisecond, from there to the read a
 * pass through all pages of the machine and one read of the disk. A daemon that is kept from its processor for that long comes second:
 * measured on two cores with thirteen threads that wanted them, in one round of 72, by 9 ms. So three rounds in four have to be right
 * here, and how all of them went is printed.
 */
@Tag("kernel")
class StaleReadTest {
    private static final int ROUNDS = 8;
    private static final int FILE_BYTES = 1 << 20;

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS", "BTRFS"})
    void a_snapshot_is_poisoned_before_its_old_data_are_read_again(Disk.FileSystem fileSystem) throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root())) {
            List<Long> leadMicros = new ArrayList<>();
            for (int round = 0; round < ROUNDS; round++) {
                leadMicros.add(leadMicros(disk, fixture, "default/" + round + "/container"));
                disk.heal();
                // A superblock with so many errors within a minute takes no volatile uppers: this one does not know it.
                fixture.restart();
            }
            long earlier = leadMicros.stream().filter(micros -> micros > 0).count();
            System.out.printf(
                    "%s: poisoned before the old data were read in %d of %d rounds, us: %s%n",
                    fileSystem, earlier, ROUNDS, leadMicros);
            assertThat(earlier).isGreaterThanOrEqualTo(ROUNDS * 3 / 4);
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

        CompletableFuture<Long> oldRead = inAThread(() -> awaitOldByte(file, changed, before));
        assertThatThrownBy(() -> Disk.fsync(below)).isInstanceOf(IOException.class);
        await().atMost(BOUND).until(() -> fixture.poisonedNanos.containsKey(key));
        long readNanos = oldRead.get(BOUND.toSeconds(), TimeUnit.SECONDS);
        return TimeUnit.NANOSECONDS.toMicros(readNanos - fixture.poisonedNanos.get(key));
    }

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

    private interface Reading {
        long run() throws IOException;
    }

    private static CompletableFuture<Long> inAThread(Reading reading) {
        return CompletableFuture.supplyAsync(
                () -> {
                    try {
                        return reading.run();
                    } catch (IOException e) {
                        throw new UncheckedIOException(e);
                    }
                },
                work -> Thread.ofPlatform().daemon().start(work));
    }
}
