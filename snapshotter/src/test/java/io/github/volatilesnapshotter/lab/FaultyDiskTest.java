package io.github.volatilesnapshotter.lab;

import static io.github.volatilesnapshotter.lab.FaultyDisk.fsync;
import static io.github.volatilesnapshotter.lab.FaultyDisk.writeDirty;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.FaultyDisk.FileSystem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

@Tag("kernel")
@ParameterizedClass
@EnumSource(FileSystem.class)
class FaultyDiskTest {
    private static final int FILE_BYTES = 1 << 20;
    private static final Duration BOUND = Duration.ofSeconds(10);
    // What mount(8) makes of EIO, which is what the kernel says whatever the error was.
    private static final String MOUNT_SAYS_EIO = "can't read superblock";
    // The device says ENOSPC; a loop device before Linux 6.15 says EIO for everything.
    private static final String LOST_WRITE = "(?s).*(No space left on device|Input/output error).*";

    @Parameter
    FileSystem fileSystem;

    @AutoClose
    FaultyDisk disk;

    @BeforeEach
    void make_the_disk() throws IOException {
        disk = FaultyDisk.create(fileSystem);
    }

    @Test
    void has_the_file_system_it_was_asked_for() throws IOException {
        MountInfo mount = MountInfo.of(disk.root());

        assertThat(mount.type()).isEqualTo(fileSystem.kernelName());
        assertThat(mount.number()).isEqualTo(disk.number());
    }

    @Test
    void a_healthy_disk_stores_what_is_written() throws IOException {
        FaultyDisk.Counters before = disk.counters();

        writeDirty(file("healthy"), FILE_BYTES);
        fsync(file("healthy"));

        FaultyDisk.Counters added = disk.counters().since(before);
        assertThat(added.bytesWritten()).isGreaterThanOrEqualTo(FILE_BYTES);
        assertThat(added.flushes()).isPositive();
    }

    @Test
    void a_lost_write_is_an_event_in_the_kernels_trace() throws IOException {
        try (WritebackTrace trace = WritebackTrace.of(disk)) {
            disk.startFailing();
            writeDirty(file("lost"), FILE_BYTES);
            assertThat(trace.events()).isEmpty();

            assertFailsForTheDisk(() -> fsync(file("lost")));

            assertThat(trace.awaitEvents(BOUND)).contains(new WritebackTrace.Event(disk.number(), inode(file("lost"))));
        }
    }

    @Test
    void blocks_that_were_used_once_and_are_free_again_fail_as_well() throws IOException {
        for (int i = 0; i < 64; i++) {
            writeDirty(file("earlier-" + i), FILE_BYTES);
            fsync(file("earlier-" + i));
        }
        for (int i = 0; i < 64; i++) {
            Files.delete(file("earlier-" + i));
        }

        disk.startFailing();
        writeDirty(file("lost"), FILE_BYTES);

        assertFailsForTheDisk(() -> fsync(file("lost")));
    }

    @Test
    void a_file_that_was_stored_before_can_still_be_read_from_the_failing_disk() throws IOException {
        writeDirty(file("stored"), FILE_BYTES);
        byte[] content = Files.readAllBytes(file("stored"));

        disk.startFailing();
        disk.dropCaches();

        assertThat(file("stored")).hasBinaryContent(content);
    }

    @Test
    void a_file_that_is_overwritten_in_place_is_stored_and_one_that_is_copied_on_write_is_lost() throws IOException {
        writeDirty(file("stored"), FILE_BYTES);
        disk.startFailing();

        Files.write(file("stored"), new byte[FILE_BYTES], StandardOpenOption.WRITE);

        if (fileSystem == FileSystem.BTRFS) {
            assertFailsForTheDisk(() -> fsync(file("stored")));
        } else {
            assertThatCode(() -> fsync(file("stored"))).doesNotThrowAnyException();
        }
    }

    @Test
    void the_file_system_goes_on_working_with_the_blocks_it_has() throws IOException {
        Files.createDirectory(file("directory"));
        lose_a_write();
        assertFailsForTheDisk(disk::syncfs);

        Files.createFile(file("directory").resolve("empty"));

        assertThatCode(() -> fsync(file("directory"))).doesNotThrowAnyException();
        assertThatCode(disk::syncfs).doesNotThrowAnyException();
    }

    @Test
    void a_volatile_overlay_from_before_says_so_when_its_root_is_fsynced() throws IOException {
        VolatileOverlay overlay = VolatileOverlay.mount(disk.root().resolve("overlay"));
        assertThatCode(() -> fsync(overlay.merged())).doesNotThrowAnyException();
        disk.startFailing();

        writeDirty(overlay.merged().resolve("lost"), FILE_BYTES);
        assertThatCode(() -> fsync(overlay.merged().resolve("lost")))
                .as("nothing is written back by a volatile overlay")
                .doesNotThrowAnyException();
        assertFailsForTheDisk(() -> fsync(overlay.upper().resolve("lost")));

        assertFailsForTheDisk(() -> fsync(overlay.merged()));
    }

    @Test
    void no_volatile_overlay_can_be_mounted_until_the_error_was_seen() throws IOException {
        VolatileOverlay.prepare(disk.root().resolve("overlay"));
        lose_a_write();

        assertThatThrownBy(() -> VolatileOverlay.mount(disk.root().resolve("overlay")))
                .hasMessageContaining(MOUNT_SAYS_EIO);

        disk.heal();
        assertFailsForTheDisk(disk::syncfs);
        assertThatCode(disk::syncfs).doesNotThrowAnyException();
        VolatileOverlay.mount(disk.root().resolve("overlay"));
    }

    @Test
    void failing_again_hides_no_error() throws IOException {
        VolatileOverlay.prepare(disk.root().resolve("overlay"));
        lose_a_write();
        disk.heal();
        disk.startFailing();

        assertThatThrownBy(() -> VolatileOverlay.mount(disk.root().resolve("overlay")))
                .hasMessageContaining(MOUNT_SAYS_EIO);
    }

    @Test
    void a_healed_disk_stores_again_what_is_written() throws IOException {
        VolatileOverlay damaged = VolatileOverlay.mount(disk.root().resolve("damaged"));
        lose_a_write();

        disk.heal();
        assertFailsForTheDisk(disk::syncfs);
        writeDirty(file("stored"), FILE_BYTES);

        assertThatCode(() -> fsync(file("stored"))).doesNotThrowAnyException();
        assertFailsForTheDisk(() -> fsync(damaged.merged()));
    }

    @Test
    void nothing_is_left_of_a_closed_disk() throws IOException {
        VolatileOverlay.mount(disk.root().resolve("overlay"));
        try (WritebackTrace _ = WritebackTrace.of(disk)) {
            lose_a_write();
        }
        disk.close();

        String directory = disk.root().getParent().toString();
        assertThat(MountInfo.all()).noneMatch(mount -> mount.mountPoint().startsWith(directory));
        assertThat(Path.of(directory)).doesNotExist();
        assertThat(Command.run("losetup", "--noheadings", "--output", "BACK-FILE"))
                .doesNotContain(directory);
    }

    private void lose_a_write() throws IOException {
        disk.startFailing();
        writeDirty(file("lost"), FILE_BYTES);
        assertFailsForTheDisk(() -> fsync(file("lost")));
    }

    private Path file(String name) {
        return disk.root().resolve(name);
    }

    private static long inode(Path file) throws IOException {
        return (Long) Files.getAttribute(file, "unix:ino");
    }

    private static void assertFailsForTheDisk(ThrowingCallable writeback) {
        assertThatThrownBy(writeback).isInstanceOf(IOException.class).hasMessageMatching(LOST_WRITE);
    }

    /** A volatile overlay with all of its directories in one. It is unmounted with the disk. */
    private record VolatileOverlay(Path upper, Path merged) {
        static void prepare(Path directory) throws IOException {
            for (String name : new String[] {"lower", "upper", "work", "merged"}) {
                Files.createDirectories(directory.resolve(name));
            }
        }

        static VolatileOverlay mount(Path directory) throws IOException {
            prepare(directory);
            Path upper = directory.resolve("upper");
            Path merged = directory.resolve("merged");
            String options = "volatile,lowerdir=%s,upperdir=%s,workdir=%s"
                    .formatted(directory.resolve("lower"), upper, directory.resolve("work"));
            Command.run("mount", "-t", "overlay", "-o", options, "overlay", merged.toString());
            return new VolatileOverlay(upper, merged);
        }
    }
}
