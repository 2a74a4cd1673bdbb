package io.github.volatilesnapshotter.lab;

import static io.github.volatilesnapshotter.lab.Disk.fsync;
import static io.github.volatilesnapshotter.lab.Disk.writeDirty;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** What every disk does. */
@Tag("kernel")
@ParameterizedClass
@EnumSource(FileSystem.class)
abstract class DiskKit<D extends Disk> {
    static final int FILE_BYTES = 1 << 20;
    static final Duration BOUND = Duration.ofSeconds(10);
    // What mount(8) makes of EIO, which is what the kernel says whatever the error was.
    private static final String MOUNT_SAYS_EIO = "can't read superblock";
    // A full device says ENOSPC; a loop device before Linux 6.15 says EIO for everything.
    private static final String LOST_WRITE = "(?s).*(No space left on device|Input/output error).*";

    @Parameter
    FileSystem fileSystem;

    @AutoClose
    D disk;

    abstract D create(FileSystem fileSystem) throws IOException;

    @BeforeEach
    void make_the_disk() throws IOException {
        disk = create(fileSystem);
    }

    @Test
    void has_the_file_system_it_was_asked_for() throws IOException {
        MountInfo mount = MountInfo.of(disk.root());

        assertThat(mount.type()).isEqualTo(fileSystem.kernelName());
        assertThat(mount.number()).isEqualTo(disk.number());
    }

    @Test
    void a_healthy_disk_stores_what_is_written() throws IOException {
        Disk.Counters before = disk.counters();
        writeDirty(file("healthy"), FILE_BYTES);
        byte[] content = Files.readAllBytes(file("healthy"));

        fsync(file("healthy"));

        Disk.Counters added = disk.counters().since(before);
        assertThat(added.bytesWritten()).isGreaterThanOrEqualTo(FILE_BYTES);
        assertThat(added.flushes()).isPositive();
        disk.remount();
        assertThat(file("healthy")).hasBinaryContent(content);
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
    void a_file_that_was_stored_before_can_still_be_read_from_the_failing_disk() throws IOException {
        writeDirty(file("stored"), FILE_BYTES);
        byte[] content = Files.readAllBytes(file("stored"));

        disk.startFailing();
        disk.dropCaches();

        assertThat(file("stored")).hasBinaryContent(content);
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
        VolatileOverlay overlay = VolatileOverlay.mount(file("overlay"));
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
        VolatileOverlay.prepare(file("overlay"));
        lose_a_write();

        assertThatThrownBy(() -> VolatileOverlay.mount(file("overlay"))).hasMessageContaining(MOUNT_SAYS_EIO);

        disk.heal();
        assertFailsForTheDisk(disk::syncfs);
        assertThatCode(disk::syncfs).doesNotThrowAnyException();
        VolatileOverlay.mount(file("overlay"));
    }

    @Test
    void failing_again_hides_no_error() throws IOException {
        VolatileOverlay.prepare(file("overlay"));
        lose_a_write();
        disk.heal();
        disk.startFailing();

        assertThatThrownBy(() -> VolatileOverlay.mount(file("overlay"))).hasMessageContaining(MOUNT_SAYS_EIO);
    }

    @Test
    void a_healed_disk_stores_again_what_is_written() throws IOException {
        VolatileOverlay damaged = VolatileOverlay.mount(file("damaged"));
        lose_a_write();

        disk.heal();
        assertFailsForTheDisk(disk::syncfs);
        writeDirty(file("stored"), FILE_BYTES);

        assertThatCode(() -> fsync(file("stored"))).doesNotThrowAnyException();
        assertFailsForTheDisk(() -> fsync(damaged.merged()));
    }

    @Test
    void nothing_is_left_of_a_closed_disk() throws IOException {
        VolatileOverlay.mount(file("overlay"));
        try (WritebackTrace _ = WritebackTrace.of(disk)) {
            lose_a_write();
        }
        disk.close();

        assertNothingIsLeft();
    }

    void assertNothingIsLeft() throws IOException {
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

    Path file(String name) {
        return disk.root().resolve(name);
    }

    static long inode(Path file) throws IOException {
        return (Long) Files.getAttribute(file, "unix:ino");
    }

    static void assertFailsForTheDisk(ThrowingCallable action) {
        assertThatThrownBy(action).isInstanceOf(IOException.class).hasMessageMatching(LOST_WRITE);
    }
}
