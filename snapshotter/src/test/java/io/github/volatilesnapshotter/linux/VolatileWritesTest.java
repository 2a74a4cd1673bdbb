package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What an overlay writes to its disk and when, counted at the disk: what volatile saves, and what it does not. Data is a megabyte and
 * more, so that what a filesystem writes of itself meanwhile is not taken for it.
 */
@Tag("kernel")
@ParameterizedClass
@EnumSource(Disk.FileSystem.class)
class VolatileWritesTest {
    private static final int FILE_BYTES = 1 << 20;

    @Parameter
    Disk.FileSystem fileSystem;

    @AutoClose
    FuseDisk disk;

    @BeforeEach
    void make_the_disk() throws IOException {
        disk = FuseDisk.create(fileSystem);
    }

    /** Why removing a container ({@code snapshot.Uppers}, {@code superblock.VolatileOverlay}) waits for nothing. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void the_end_of_a_volatile_mount_leaves_dirty_what_is_dirty(boolean isDetached) throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(disk.root(), "overlay");
        disk.syncfs();
        Disk.Counters before = disk.counters();
        writeDirtyInsideAndBeside(overlay);

        end(overlay, isDetached);

        assertThat(disk.counters().since(before).bytesWritten()).isLessThan(FILE_BYTES);
        disk.syncfs();
        assertThat(disk.counters().since(before).bytesWritten())
                .as("it was dirty until now")
                .isGreaterThanOrEqualTo(2 * FILE_BYTES);
    }

    /** Also what lies outside of its upper. Why layers are unpacked without a mount of the daemon's own, and uppers are volatile. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void the_end_of_another_mount_writes_back_all_of_the_upper_filesystem(boolean isDetached) throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountPlain(disk.root(), "overlay");
        disk.syncfs();
        Disk.Counters before = disk.counters();
        writeDirtyInsideAndBeside(overlay);
        assertThat(disk.counters().since(before).bytesWritten()).isLessThan(FILE_BYTES);

        end(overlay, isDetached);

        assertThat(disk.counters().since(before).bytesWritten()).isGreaterThanOrEqualTo(2 * FILE_BYTES);
    }

    private void writeDirtyInsideAndBeside(OverlayOnDisk overlay) throws IOException {
        Disk.writeDirty(overlay.merged().resolve("inside"), FILE_BYTES);
        Disk.writeDirty(disk.root().resolve("beside"), FILE_BYTES);
    }

    private static void end(OverlayOnDisk overlay, boolean isDetached) throws IOException {
        if (isDetached) {
            Mounting.detach(overlay.merged());
        } else {
            Mounting.unmount(overlay.merged());
        }
    }

    /** Why a layer that was written through a volatile overlay is synced below it ({@code snapshot.LayerSync}). */
    @Test
    void no_call_that_syncs_writes_anything_through_a_volatile_overlay() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(disk.root(), "overlay");
        disk.syncfs();
        Path file = overlay.merged().resolve("file");
        Disk.writeDirty(file, FILE_BYTES);
        Disk.Counters before = disk.counters();

        try (Fd opened = Fd.openReadWrite(file)) {
            Sync.fsync(opened);
            Sync.fdatasync(opened);
            Sync.syncfs(opened);
            Sync.awaitWriteback(opened);
        }

        assertThat(disk.counters().since(before).bytesWritten()).isLessThan(FILE_BYTES);
        Disk.fsync(overlay.upper().resolve("file"));
        assertThat(disk.counters().since(before).bytesWritten()).isGreaterThanOrEqualTo(FILE_BYTES);
    }

    /** RWF_DSYNC, which asks for it with one write: the overlay drops it, and says nothing. On the upper itself it is obeyed. */
    @Test
    void a_write_that_shall_be_on_disk_at_its_return_is_not_through_a_volatile_overlay() throws IOException {
        Path file = emptyFileInAVolatileOverlay();
        Path below = Files.createFile(disk.root().resolve("below"));
        disk.syncfs();
        Disk.Counters before = disk.counters();
        try (Fd opened = Fd.openReadWrite(file);
                Fd openedBelow = Fd.openReadWrite(below)) {
            RawCalls.writeThrough(opened, content().array());
            assertThat(disk.counters().since(before).bytesWritten()).isLessThan(FILE_BYTES);

            RawCalls.writeThrough(openedBelow, content().array());
            assertThat(disk.counters().since(before).bytesWritten()).isGreaterThanOrEqualTo(FILE_BYTES);
            disk.fail(Blocks.DATA);
            RawCalls.writeThrough(opened, content().array());
            assertErrno(
                    Errno.EIO,
                    () -> RawCalls.writeThrough(openedBelow, content().array()));
        }
    }

    /** So a container that writes in this way is as slow as ever. */
    @ParameterizedTest
    @EnumSource(
            value = StandardOpenOption.class,
            names = {"SYNC", "DSYNC"})
    void what_is_written_by_a_descriptor_with_O_SYNC_or_O_DSYNC_is_on_disk(StandardOpenOption option)
            throws IOException {
        Path file = emptyFileInAVolatileOverlay();
        Disk.Counters before = disk.counters();

        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE, option)) {
            channel.write(content());
            Disk.Counters added = disk.counters().since(before);
            assertThat(added.bytesWritten()).isGreaterThanOrEqualTo(FILE_BYTES);
            assertThat(added.flushes()).isPositive();

            disk.fail(Blocks.DATA);
            assertThatThrownBy(() -> channel.write(content(), 0)).hasMessageContaining("Input/output error");
        }
    }

    @Test
    void what_was_mapped_and_synced_by_msync_is_on_disk() throws IOException {
        Path file = emptyFileInAVolatileOverlay();
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
                Arena arena = Arena.ofConfined()) {
            MemorySegment mapped = channel.map(MapMode.READ_WRITE, 0, FILE_BYTES, arena);
            mapped.copyFrom(MemorySegment.ofBuffer(content()));
            Disk.Counters before = disk.counters();

            mapped.force();

            Disk.Counters added = disk.counters().since(before);
            assertThat(added.bytesWritten()).isGreaterThanOrEqualTo(FILE_BYTES);
            assertThat(added.flushes()).isPositive();
            disk.fail(Blocks.DATA);
            mapped.set(ValueLayout.JAVA_BYTE, FILE_BYTES - 1, (byte) 1);
            assertThatThrownBy(mapped::force)
                    .isInstanceOf(UncheckedIOException.class)
                    .hasMessageContaining("Input/output error");
        }
    }

    private Path emptyFileInAVolatileOverlay() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(disk.root(), "overlay");
        Path file = Files.createFile(overlay.merged().resolve("file"));
        disk.syncfs();
        return file;
    }

    private static ByteBuffer content() {
        byte[] content = new byte[FILE_BYTES];
        byte[] marker = Disk.dataMarker();
        for (int sector = 0; sector < FILE_BYTES; sector += 512) {
            System.arraycopy(marker, 0, content, sector, marker.length);
        }
        return ByteBuffer.wrap(content);
    }
}
