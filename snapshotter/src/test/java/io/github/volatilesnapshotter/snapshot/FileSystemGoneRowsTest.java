package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.BOUND;
import static io.github.volatilesnapshotter.snapshot.FailureScene.CONTAINER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.MEBIBYTE;
import static io.github.volatilesnapshotter.snapshot.FailureScene.refused;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.State;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Failures after which a filesystem writes nothing any more. See the table of failures in {@code docs/fault-lab.md}. */
@Tag("kernel")
class FileSystemGoneRowsTest {
    /** Something new has to be written in the log now, and nothing else: data that is dirty on a filesystem that stops is an error of its own. */
    private static void loseMetadata(FailureScene<FuseDisk> scene) throws IOException {
        scene.disk.syncfs();
        scene.disk.fail(Blocks.METADATA);
        Path file = scene.disk.root().resolve("lost");
        assertThatThrownBy(() -> {
                    Files.createFile(file);
                    Disk.fsync(file);
                })
                .isInstanceOf(IOException.class);
    }

    /** Everything that a filesystem that has given up is asked for. */
    private static void assertGone(FailureScene<?> scene, String reason) throws Exception {
        scene.awaitState(State.FAILED);
        scene.awaitPoison();
        Snapshotter snapshotter = scene.snapshotter();
        String condition = "device " + scene.fixture.device() + " is failed: " + reason;
        for (String key : new String[] {"default/5/new", "default/6/extract-new"}) {
            // A write that was lost with it may have been seen first.
            await().atMost(BOUND)
                    .untilAsserted(() ->
                            refused(Category.UNAVAILABLE, condition, () -> snapshotter.prepare(key, "", Map.of())));
        }
        assertThat(scene.fixture.conditions)
                .last()
                .asString()
                .startsWith("device " + scene.fixture.device() + " is failed: ");
        refused(Category.UNAVAILABLE, CONTAINER, () -> snapshotter.remove(CONTAINER));
        assertThat(scene.isPoisoned(CONTAINER))
                .as("what could not be removed is there")
                .isTrue();
        assertThat(snapshotter.list(List.of())).toIterable().hasSize(2);
    }

    @Test
    void a_journal_of_ext4_that_is_aborted_leaves_no_error_and_is_found_by_the_write_probe() throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(Disk.FileSystem.EXT4))) {
            loseMetadata(scene);

            assertGone(
                    scene,
                    KernelRelease.current().atLeast(6, 15)
                            ? "the filesystem has turned itself read-only (emergency_ro) (EROFS)"
                            : "the filesystem has turned itself read-only (EROFS)");
            scene.assertBothPoisoned(PoisonReason.FILE_SYSTEM_GONE, Errno.EROFS);
            assertThat(scene.observer().error())
                    .as("the kernel's sample misses it")
                    .isEmpty();
            if (KernelRelease.current().atLeast(6, 15)) {
                assertThat(scene.superblockOptions()).contains("emergency_ro").doesNotContain("ro");
            }
            scene.disk.heal();
            assertThat(scene.fixture.superblock()).isEqualTo(State.FAILED);
            scene.assertNewSnapshotsWorkAfterRemount();
        }
    }

    @Test
    void metadata_of_ext4_without_journal_is_lost_like_data() throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(Disk.FileSystem.EXT4_WITHOUT_JOURNAL))) {
            loseMetadata(scene);
            assertThatThrownBy(scene.disk::syncfs).isInstanceOf(IOException.class);

            scene.awaitPoison();
            scene.assertBothPoisoned(PoisonReason.WRITEBACK_ERROR, Errno.EIO);
            assertThat(scene.observer().error()).contains(Errno.EIO);
            assertThatCode(() -> Files.writeString(scene.merged.resolve("more"), "taken"))
                    .doesNotThrowAnyException();
            scene.disk.heal();
            scene.assertNewSnapshotsWork();
        }
    }

    @Test
    void a_log_of_xfs_that_fails_shuts_it_down_without_an_error() throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(Disk.FileSystem.XFS))) {
            loseMetadata(scene);

            assertGone(scene, "the filesystem is shut down (EIO)");
            scene.assertBothPoisoned(PoisonReason.FILE_SYSTEM_GONE, Errno.EIO);
            assertThat(scene.observer().error())
                    .as("the kernel's sample misses it")
                    .isEmpty();
            assertThat(scene.superblockOptions()).as("nor do the flags tell").doesNotContain("shutdown", "ro");
            scene.disk.heal();
            scene.assertNewSnapshotsWorkAfterRemount();
        }
    }

    @Test
    void metadata_of_btrfs_that_is_lost_makes_it_read_only_and_is_an_error_as_well() throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(Disk.FileSystem.BTRFS))) {
            loseMetadata(scene);

            assertGone(scene, "the filesystem has turned itself read-only (EROFS)");
            assertThat(scene.observer().error()).contains(Errno.EIO);
            assertThat(scene.superblockOptions()).contains("ro");
            scene.disk.heal();
            scene.assertNewSnapshotsWorkAfterRemount();
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "EXT4_WITHOUT_JOURNAL", "XFS"})
    void a_shutdown_without_dirty_data_is_found_by_the_write_probe(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FaultyDisk> scene = FailureScene.on(FaultyDisk.create(fileSystem))) {
            shutDown(scene.disk);

            assertGone(scene, "the filesystem is shut down (EIO)");
            scene.assertBothPoisoned(PoisonReason.FILE_SYSTEM_GONE, Errno.EIO);
            assertThat(scene.observer().error())
                    .as("the kernel's sample misses it")
                    .isEmpty();
            assertThat(scene.superblockOptions().contains("shutdown")).isEqualTo(fileSystem != Disk.FileSystem.XFS);
            scene.assertNewSnapshotsWorkAfterRemount();
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "EXT4_WITHOUT_JOURNAL", "XFS"})
    void a_shutdown_with_dirty_data_leaves_an_error_on_xfs_only(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FaultyDisk> scene = FailureScene.on(FaultyDisk.create(fileSystem))) {
            Disk.writeDirty(scene.merged.resolve("data"), MEBIBYTE);
            try (FileChannel dirty = FileChannel.open(scene.upper.resolve("data"), StandardOpenOption.READ)) {
                shutDown(scene.disk);
                assertThatThrownBy(() -> dirty.force(true)).isInstanceOf(IOException.class);
            }

            assertGone(scene, "the filesystem is shut down (EIO)");
            if (fileSystem == Disk.FileSystem.XFS) {
                assertThat(scene.observer().error()).contains(Errno.EIO);
            } else {
                assertThat(scene.observer().error())
                        .as("the kernel's sample misses it")
                        .isEmpty();
                scene.assertBothPoisoned(PoisonReason.FILE_SYSTEM_GONE, Errno.EIO);
            }
            scene.assertNewSnapshotsWorkAfterRemount();
        }
    }

    /** FS_IOC_SHUTDOWN, without writing the log. */
    static void shutDown(Disk disk) throws IOException {
        Command.run("xfs_io", "-x", "-c", "shutdown", disk.root().toString());
    }

    /** While the daemon runs the kernel refuses it, as files are open for writing. */
    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_remount_read_only_by_an_operator_poisons_nothing(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FaultyDisk> scene = FailureScene.on(FaultyDisk.create(fileSystem))) {
            assertThatThrownBy(() -> remount(scene.disk, "ro")).hasMessageContaining("busy");
            scene.fixture.stop();
            remount(scene.disk, "ro");
            assertThat(scene.superblockOptions()).contains("ro");
            assertThatThrownBy(() -> Files.createFile(scene.merged.resolve("refused")))
                    .hasMessageContaining("Read-only file system");
            assertThat(scene.observer().error())
                    .as("the kernel's sample misses it")
                    .isEmpty();
            assertThatThrownBy(scene.fixture::start)
                    .isInstanceOf(StartException.class)
                    .hasMessageContaining("read-only filesystem");
            remount(scene.disk, "rw");

            scene.fixture.start();
            assertThat(scene.fixture.superblock()).isEqualTo(State.HEALTHY);
            scene.assertNothingPoisoned();
            scene.assertNewSnapshotsWork();
        }
    }

    private static void remount(Disk disk, String access) throws IOException {
        Command.run("mount", "-o", "remount," + access, disk.root().toString());
    }
}
