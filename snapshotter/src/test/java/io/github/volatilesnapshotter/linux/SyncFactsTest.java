package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import java.io.IOException;
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

/** Whom fsync and syncfs tell of lost data, and whom they don't. See also {@link WritebackErrorTest}. */
@Tag("kernel")
@ParameterizedClass
@EnumSource(Disk.FileSystem.class)
class SyncFactsTest {
    private static final int FILE_BYTES = 1 << 20;

    /** Pages, then names, then inodes: each goes only after the one before. */
    private static final int DROPS_THAT_EVICT = 3;

    @Parameter
    Disk.FileSystem fileSystem;

    @AutoClose
    FuseDisk disk;

    @BeforeEach
    void make_the_disk() throws IOException {
        disk = FuseDisk.create(fileSystem);
    }

    /** Why {@code superblock.VolatileOverlay} asks fsync: who owns the mount namespace may remount what is in it. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void of_a_volatile_overlay_that_is_read_only_fsync_knows_the_error_and_syncfs_does_not(boolean lostBefore)
            throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountVolatile(disk.root(), "overlay");
        if (lostBefore) {
            Damage.loseData(disk);
        }
        RawCalls.remount(overlay.merged(), true, "");
        if (!lostBefore) {
            Damage.loseData(disk);
        }

        try (Fd root = Fd.openDirectory(overlay.merged())) {
            assertThat(MountInfo.superOptionsOf(root)).contains("ro");
            assertErrno(Errno.EIO, () -> Sync.fsync(root));
            Sync.syncfs(root);
            RawCalls.remount(overlay.merged(), false, "");
            assertErrno(Errno.EIO, () -> Sync.syncfs(root));
        }
    }

    /** Why {@code snapshot.LayerSync} syncs by a descriptor of the upper's filesystem, of a plain overlay's too. */
    @Test
    void syncfs_of_an_overlay_that_is_not_volatile_loses_the_data_and_returns_0() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.mountPlain(disk.root(), "overlay");
        Path file = overlay.merged().resolve("file");
        Disk.writeDirty(file, FILE_BYTES);
        try (Fd opened = Fd.openReadOnly(file);
                Fd root = Fd.openDirectory(overlay.merged());
                Fd below = Fd.openDirectory(disk.root())) {
            disk.fail(Blocks.DATA);

            Sync.syncfs(root);
            Sync.syncfs(root);

            assertErrno(Errno.EIO, () -> Sync.fsync(opened));
            assertErrno(Errno.EIO, () -> Sync.syncfs(below));
        }
    }

    /** A witness ({@code superblock.Witness}) is one open file, whoever has a copy of its descriptor. */
    @Test
    void a_copy_of_a_descriptor_is_told_of_an_error_in_its_place() throws IOException {
        try (Fd root = Fd.openDirectory(disk.root());
                Fd copy = RawCalls.dup(root);
                Fd another = Fd.openDirectory(disk.root())) {
            Damage.loseData(disk);

            assertErrno(Errno.EIO, () -> Sync.syncfs(copy));

            Sync.syncfs(root);
            assertErrno(Errno.EIO, () -> Sync.syncfs(another));
        }
    }

    /**
     * Why an fsync of the files at Commit would not do, and a descriptor from before is kept ({@code superblock.Witness}): the
     * error was noted in the inode, and the inode is gone.
     */
    @Test
    void a_file_that_memory_has_let_go_of_has_its_old_content_and_no_error() throws IOException {
        Path evicted = stored("evicted");
        Path kept = stored("kept");
        byte[] old = Files.readAllBytes(evicted);
        try (Fd before = Fd.openDirectory(disk.root());
                Fd _ = Fd.openReadOnly(kept)) {
            disk.fail(Blocks.DATA);
            overwrite(evicted, old);
            overwrite(kept, old);
            assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);
            letGo();

            assertErrno(Errno.EIO, () -> fsync(kept));
            fsync(evicted);
            assertThat(evicted).hasBinaryContent(old);
            assertErrno(Errno.EIO, () -> Sync.syncfs(before));
            Sync.syncfs(before);
        }
    }

    /** ext4 has given it its blocks and its size by then; xfs and btrfs give the size when the data is written. */
    @Test
    void a_new_file_that_memory_has_let_go_of_is_zeros_or_empty() throws IOException {
        Path file = disk.root().resolve("file");
        Disk.writeDirty(file, FILE_BYTES);
        disk.fail(Blocks.DATA);
        assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);
        letGo();

        fsync(file);
        boolean isExt4 = fileSystem.kernelName().equals("ext4");
        assertThat(file).hasBinaryContent(new byte[isExt4 ? FILE_BYTES : 0]);
    }

    /** Why nobody asks by syncfs whether there was an error: it costs the disk a flush each time. */
    @Test
    void a_syncfs_with_nothing_to_write_flushes_the_disk_on_ext4_only() throws IOException {
        boolean isExt4 = fileSystem.kernelName().equals("ext4");
        disk.syncfs();

        // The filesystem may flush by itself meanwhile, now and then.
        await().untilAsserted(() -> {
            Disk.Counters before = disk.counters();
            disk.syncfs();
            assertThat(disk.counters().since(before).flushes()).isEqualTo(isExt4 ? 1 : 0);
        });
    }

    private Path stored(String name) throws IOException {
        Path file = disk.root().resolve(name);
        Disk.writeDirty(file, FILE_BYTES);
        Disk.fsync(file);
        return file;
    }

    /** One byte behind the mark of the first sector. */
    private static void overwrite(Path file, byte[] old) throws IOException {
        byte[] content = old.clone();
        content[Disk.dataMarker().length]++;
        Files.write(file, content, StandardOpenOption.WRITE);
    }

    private void letGo() throws IOException {
        for (int drop = 0; drop < DROPS_THAT_EVICT; drop++) {
            disk.dropCaches();
        }
    }

    private static void fsync(Path file) throws SyscallException {
        try (Fd opened = Fd.openReadOnly(file)) {
            Sync.fsync(opened);
        }
    }
}
