package io.github.volatilesnapshotter.lab;

import static io.github.volatilesnapshotter.lab.Disk.fsync;
import static io.github.volatilesnapshotter.lab.Disk.writeDirty;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Test;

class FuseDiskTest extends DiskKit<FuseDisk> {
    private static final Duration DELAY = Duration.ofMillis(300);
    // Beyond every bound here.
    private static final Duration LONG_DELAY = Duration.ofSeconds(60);
    // Of a directory, for blocks of its own.
    private static final int ENTRIES = 1_000;
    // Long enough for a thread that does not wait for the disk to be done.
    private static final Duration MOMENT = Duration.ofMillis(300);

    @Override
    FuseDisk create(FileSystem fileSystem) throws IOException {
        return FuseDisk.create(fileSystem);
    }

    @Test
    void lost_data_leaves_new_files_and_their_directories_as_they_are() throws IOException {
        disk.fail(Blocks.DATA);
        writeDirty(file("lost"), FILE_BYTES);
        assertIoError(() -> fsync(file("lost")));

        Files.createDirectory(file("directory"));
        Files.createFile(file("directory").resolve("empty"));

        assertThatCode(() -> fsync(file("directory"))).doesNotThrowAnyException();
        disk.heal();
        disk.remount();
        assertThat(file("directory").resolve("empty")).exists();
    }

    @Test
    void a_file_that_is_overwritten_in_place_is_lost_as_well() throws IOException {
        writeDirty(file("stored"), FILE_BYTES);
        fsync(file("stored"));
        disk.fail(Blocks.DATA);

        Files.write(file("stored"), Files.readAllBytes(file("stored")), StandardOpenOption.WRITE);

        assertIoError(() -> fsync(file("stored")));
    }

    @Test
    void one_marked_sector_is_enough_to_fail_the_whole_of_a_large_request() throws IOException {
        byte[] content = new byte[4 * FILE_BYTES];
        byte[] marker = Disk.dataMarker();
        System.arraycopy(marker, 0, content, content.length - Disk.SECTOR_BYTES, marker.length);
        Files.write(file("lost"), content);
        disk.fail(Blocks.DATA);

        assertIoError(() -> fsync(file("lost")));
    }

    @Test
    void lost_metadata_ends_a_journal_a_log_or_a_tree_and_not_always_as_an_error_of_the_superblock()
            throws IOException {
        VolatileOverlay overlay = VolatileOverlay.mount(file("overlay"));
        disk.syncfs();
        try (FileChannel sentinel = FileChannel.open(overlay.merged(), StandardOpenOption.READ)) {
            disk.fail(Blocks.METADATA);
            Files.createFile(file("lost"));

            assertIoError(() -> fsync(file("lost")));

            switch (fileSystem) {
                case EXT4 -> {
                    assertThatThrownBy(() -> Files.createFile(file("refused")))
                            .hasMessageContaining("Read-only file system");
                    assertThatCode(() -> sentinel.force(true)).doesNotThrowAnyException();
                }
                case EXT4_WITHOUT_JOURNAL -> {
                    Files.createFile(file("not refused"));
                    assertThatCode(() -> sentinel.force(true)).doesNotThrowAnyException();
                    assertIoError(disk::syncfs);
                    assertIoError(() -> sentinel.force(true));
                }
                case XFS -> {
                    assertIoError(() -> Files.createFile(file("refused")));
                    assertThatCode(() -> sentinel.force(true)).doesNotThrowAnyException();
                }
                case BTRFS -> {
                    assertThatThrownBy(() -> Files.createFile(file("refused"))).isInstanceOf(IOException.class);
                    assertThat(MountInfo.of(disk.root()).superOptions()).startsWith("ro,");
                    assertIoError(() -> sentinel.force(true));
                }
            }
        }
    }

    @Test
    void a_disk_that_fails_altogether_stores_nothing() throws IOException {
        disk.fail(Blocks.ALL);
        writeDirty(file("lost"), FILE_BYTES);

        assertIoError(() -> fsync(file("lost")));
    }

    @Test
    void reads_that_come_to_the_disk_fail() throws IOException {
        writeDirty(file("stored"), FILE_BYTES);
        fsync(file("stored"));
        byte[] content = Files.readAllBytes(file("stored"));
        disk.failReads(Blocks.DATA);

        // Until then they are answered from memory, unless somebody else on the machine drops the caches.
        disk.dropCaches();

        assertIoError(() -> Files.readAllBytes(file("stored")));
        disk.heal();
        assertThat(file("stored")).hasBinaryContent(content);
    }

    @Test
    void reads_of_metadata_fail_while_those_of_data_go_on() throws IOException {
        Path directory = directoryWithBlocksOfItsOwn();
        byte[] content = storedContent();
        // Where its data lies is in memory as long as it is open.
        try (FileChannel opened = FileChannel.open(file("stored"), StandardOpenOption.READ)) {
            disk.failReads(Blocks.METADATA);

            awaitThatItCanNotBeRead(directory);

            if (fileSystem != FileSystem.BTRFS) {
                // btrfs reads checksums with the data.
                assertThat(read(opened)).isEqualTo(content);
            }
        }
        disk.heal();
        assertThat(entries(directory)).isEqualTo(ENTRIES);
        assertThat(file("stored")).hasBinaryContent(content);
    }

    @Test
    void reads_of_data_fail_while_those_of_metadata_go_on() throws IOException {
        Path directory = directoryWithBlocksOfItsOwn();
        storedContent();
        disk.failReads(Blocks.DATA);

        disk.dropCaches();

        assertThat(entries(directory)).isEqualTo(ENTRIES);
        assertIoError(() -> Files.readAllBytes(file("stored")));
    }

    @Test
    void all_reads_fail() throws IOException {
        Path directory = directoryWithBlocksOfItsOwn();
        byte[] content = storedContent();
        try (FileChannel opened = FileChannel.open(file("stored"), StandardOpenOption.READ)) {
            disk.failReads(Blocks.ALL);

            awaitThatItCanNotBeRead(directory);

            assertIoError(() -> read(opened));
        }
        disk.heal();
        assertThat(entries(directory)).isEqualTo(ENTRIES);
        assertThat(file("stored")).hasBinaryContent(content);
    }

    private Path directoryWithBlocksOfItsOwn() throws IOException {
        Path directory = Files.createDirectory(file("directory"));
        for (int number = 0; number < ENTRIES; number++) {
            Files.createFile(directory.resolve("an entry with a name of some length " + number));
        }
        disk.syncfs();
        return directory;
    }

    private byte[] storedContent() throws IOException {
        writeDirty(file("stored"), FILE_BYTES);
        fsync(file("stored"));
        return Files.readAllBytes(file("stored"));
    }

    /** Metadata has caches of its own, of which some let go only after several times. */
    private void awaitThatItCanNotBeRead(Path directory) {
        await().atMost(BOUND).untilAsserted(() -> {
            disk.dropCaches();
            assertIoError(() -> entries(directory));
        });
    }

    private static int entries(Path directory) throws IOException {
        int entries = 0;
        try (DirectoryStream<Path> all = Files.newDirectoryStream(directory)) {
            for (Path _ : all) {
                entries++;
            }
        } catch (DirectoryIteratorException e) {
            throw e.getCause();
        }
        return entries;
    }

    private static byte[] read(FileChannel channel) throws IOException {
        ByteBuffer content = ByteBuffer.allocate(FILE_BYTES);
        while (content.hasRemaining() && channel.read(content, content.position()) > 0) {
            // Until there is no more.
        }
        return content.array();
    }

    @Test
    void a_slow_disk_is_seen_in_the_time_of_an_fsync() throws IOException {
        disk.delayWrites(DELAY);
        writeDirty(file("slow"), FILE_BYTES);
        long before = System.nanoTime();

        fsync(file("slow"));

        assertThat(Duration.ofNanos(System.nanoTime() - before)).isGreaterThan(DELAY);
    }

    @Test
    void a_disk_that_is_slow_altogether_is_seen_in_the_time_of_a_read_too() throws IOException {
        byte[] content = storedContent();
        disk.delay(DELAY);
        disk.dropCaches();
        long before = System.nanoTime();

        assertThat(file("stored")).hasBinaryContent(content);

        long read = System.nanoTime();
        assertThat(Duration.ofNanos(read - before)).isGreaterThan(DELAY);
        writeAndFsync("slow");
        assertThat(Duration.ofNanos(System.nanoTime() - read)).isGreaterThan(DELAY);
    }

    @Test
    void reads_go_on_while_writes_are_slow_which_ends_at_once_when_it_heals() throws Exception {
        byte[] content = storedContent();
        disk.dropCaches();
        disk.delayWrites(LONG_DELAY);
        CompletableFuture<Void> stored = inAThread(() -> writeAndFsync("waits"));
        assertWaits(stored);

        CompletableFuture<Void> read =
                inAThread(() -> assertThat(file("stored")).hasBinaryContent(content));

        assertThat(read).succeedsWithin(BOUND);
        assertThat(stored).isNotDone();
        disk.heal();
        assertThat(stored).succeedsWithin(BOUND);
    }

    @Test
    void nothing_comes_from_a_disk_that_hangs_until_it_heals() throws Exception {
        writeDirty(file("stored"), FILE_BYTES);
        byte[] content = Files.readAllBytes(file("stored"));
        fsync(file("stored"));
        disk.dropCaches();
        disk.hang();

        CompletableFuture<Void> stored = inAThread(() -> writeAndFsync("waits"));
        CompletableFuture<Void> read =
                inAThread(() -> assertThat(file("stored")).hasBinaryContent(content));

        assertWaits(stored);
        assertThat(read).isNotDone();
        disk.heal();
        assertThat(stored).succeedsWithin(BOUND);
        assertThat(read).succeedsWithin(BOUND);
        disk.remount();
        assertThat(file("waits")).exists();
    }

    @Test
    void reads_go_on_while_writes_hang() throws Exception {
        writeDirty(file("stored"), FILE_BYTES);
        byte[] content = Files.readAllBytes(file("stored"));
        fsync(file("stored"));
        disk.dropCaches();
        disk.hangWrites();
        CompletableFuture<Void> stored = inAThread(() -> writeAndFsync("waits"));
        assertWaits(stored);

        CompletableFuture<Void> read =
                inAThread(() -> assertThat(file("stored")).hasBinaryContent(content));

        assertThat(read).succeedsWithin(BOUND);
        assertThat(stored).isNotDone();
        disk.heal();
        assertThat(stored).succeedsWithin(BOUND);
    }

    @Test
    void a_disk_that_hangs_can_be_closed() throws Exception {
        long pid = disk.pid();
        disk.hang();
        CompletableFuture<Void> stored = inAThread(() -> writeAndFsync("waits"));
        assertWaits(stored);

        disk.close();

        await().atMost(BOUND).until(stored::isDone);
        assertNothingIsLeft();
        assertThat(ProcessHandle.of(pid)).isEmpty();
    }

    private void assertWaits(CompletableFuture<Void> future) {
        // Reads and writes that the device has not answered.
        await().atMost(BOUND)
                .until(() -> !Files.readString(Path.of(
                                "/sys/block", disk.device().getFileName().toString(), "inflight"))
                        .strip()
                        .matches("0 +0"));
        assertThatThrownBy(() -> future.get(MOMENT.toMillis(), TimeUnit.MILLISECONDS))
                .isInstanceOf(TimeoutException.class);
    }

    private static void assertIoError(ThrowingCallable action) {
        assertThatThrownBy(action).isInstanceOf(IOException.class).hasMessageContaining("Input/output error");
    }

    @Test
    void nothing_is_left_of_a_disk_whose_process_was_killed() throws Exception {
        ProcessHandle process = ProcessHandle.of(disk.pid()).orElseThrow();
        process.destroyForcibly();
        assertThat(process.onExit()).succeedsWithin(BOUND);

        assertThatThrownBy(() -> disk.close()).isInstanceOf(IOException.class);

        assertNothingIsLeft();
    }

    @Test
    void who_keeps_a_disk_in_a_mount_namespace_of_its_own_is_named() throws Exception {
        Path entered = disk.root().getParent().resolveSibling("entered-" + disk.pid());
        Process holder = new ProcessBuilder(
                        "unshare",
                        "--mount",
                        "--propagation",
                        "private",
                        "sh",
                        "-c",
                        "touch " + entered + " && exec sleep 60")
                .start();
        try {
            await().atMost(BOUND).until(() -> Files.exists(entered));

            assertThat(new MountsOnDisk(disk.root()).holders(disk.device()))
                    .anySatisfy(line -> assertThat(line)
                            .startsWith("process " + holder.pid() + " (")
                            .contains(" has " + disk.root() + " mounted in mnt:["));
        } finally {
            holder.destroyForcibly().waitFor();
            Files.deleteIfExists(entered);
        }
        disk.close();
        assertNothingIsLeft();
    }

    /** Each step of which may wait for the disk. */
    private void writeAndFsync(String name) throws IOException {
        writeDirty(file(name), 16 * FILE_BYTES);
        fsync(file(name));
    }

    private interface Action {
        void run() throws Exception;
    }

    private static CompletableFuture<Void> inAThread(Action action) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        Thread.ofPlatform().daemon().start(() -> {
            try {
                action.run();
                done.complete(null);
            } catch (Throwable e) {
                done.completeExceptionally(e);
            }
        });
        return done;
    }
}
