package io.github.volatilesnapshotter.snapshot;

import static io.github.volatilesnapshotter.snapshot.FailureScene.BOUND;
import static io.github.volatilesnapshotter.snapshot.FailureScene.CONTAINER;
import static io.github.volatilesnapshotter.snapshot.FailureScene.LAYER;
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
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.State;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Errors of single writes and reads, which the filesystem survives. See the table of failures in {@code docs/fault-lab.md}. */
@Tag("kernel")
class WritebackErrorRowsTest {
    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void data_that_ends_with_EIO_poisons_what_was_there_and_nothing_that_comes(Disk.FileSystem fileSystem)
            throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            scene.disk.fail(Blocks.DATA);
            scene.loseDataOfContainer();
            scene.awaitPoison();
            scene.assertBothPoisoned(PoisonReason.WRITEBACK_ERROR, Errno.EIO);
            assertThatCode(() -> Files.writeString(scene.merged.resolve("more"), "taken"))
                    .as("an application notices nothing")
                    .doesNotThrowAnyException();
            scene.disk.heal();

            scene.assertNewSnapshotsWork();
            assertThat(scene.observer().error()).contains(Errno.EIO);
            scene.assertBothPoisoned(PoisonReason.WRITEBACK_ERROR, Errno.EIO);
            scene.snapshotter().remove(CONTAINER);
            scene.snapshotter().remove(LAYER);
            refused(Category.NOT_FOUND, CONTAINER, () -> scene.snapshotter().stat(CONTAINER));
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void data_that_the_device_has_no_space_for_does_the_same_and_is_told_by_its_errno(Disk.FileSystem fileSystem)
            throws Exception {
        // The loop device had one errno for all that went wrong before.
        Errno errno = KernelRelease.current().atLeast(6, 15) ? Errno.ENOSPC : Errno.EIO;
        try (FailureScene<FaultyDisk> scene = FailureScene.on(FaultyDisk.create(fileSystem))) {
            scene.disk.startFailing();
            scene.loseDataOfContainer();
            scene.awaitPoison();
            scene.assertBothPoisoned(PoisonReason.WRITEBACK_ERROR, errno);
            scene.awaitState(State.FAILED);
            scene.disk.heal();

            scene.assertNewSnapshotsWork();
            assertThat(scene.observer().error()).contains(errno);
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_error_that_somebody_else_consumed_is_found_all_the_same(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            scene.disk.fail(Blocks.DATA);
            Disk.writeDirty(scene.disk.root().resolve("foreign"), MEBIBYTE);
            assertThatThrownBy(scene.disk::syncfs).isInstanceOf(IOException.class);
            try (Observer later = awaitObserver(scene.disk)) {
                scene.awaitPoison();
                scene.assertBothPoisoned(PoisonReason.WRITEBACK_ERROR, Errno.EIO);
                assertThat(scene.observer().error()).contains(Errno.EIO);
                assertThat(later.error()).as("hidden from who came after").isEmpty();
            }
            scene.disk.heal();
            scene.assertNewSnapshotsWork();
        }
    }

    /** The sync has marked the error as seen; a write that was under way may have failed once more. */
    private static Observer awaitObserver(Disk disk) {
        return await().atMost(BOUND)
                .ignoreExceptionsMatching(SyscallException.class::isInstance)
                .until(() -> Observer.on(disk, "later-" + System.nanoTime()), observer -> true);
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_error_between_Prepare_and_the_start_of_the_container_is_found_by_Mounts(Disk.FileSystem fileSystem)
            throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            scene.disk.fail(Blocks.DATA);
            Path foreign = scene.disk.root().resolve("foreign");
            Disk.writeDirty(foreign, MEBIBYTE);
            assertThatThrownBy(() -> Disk.fsync(foreign)).isInstanceOf(IOException.class);

            // At once: nobody waits for the watch.
            refused(
                    Category.FAILED_PRECONDITION,
                    "snapshot " + CONTAINER + " is poisoned: writeback-error (EIO) on " + scene.fixture.device(),
                    () -> scene.snapshotter().mounts(CONTAINER));
            scene.assertPoisoned(CONTAINER, PoisonReason.WRITEBACK_ERROR, Errno.EIO);
            scene.disk.heal();
            scene.snapshotter().remove(CONTAINER);
            scene.assertNewSnapshotsWork();
            assertThat(scene.observer().error()).contains(Errno.EIO);
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_error_shows_in_the_first_Stat_after_it(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            scene.disk.fail(Blocks.DATA);
            Path foreign = scene.disk.root().resolve("foreign");
            Disk.writeDirty(foreign, MEBIBYTE);
            assertThatThrownBy(() -> Disk.fsync(foreign)).isInstanceOf(IOException.class);

            // At once: nobody waits for the watch.
            assertThat(scene.snapshotter().stat(CONTAINER).labels()).containsKey(Labels.POISONED);
            scene.assertPoisoned(CONTAINER, PoisonReason.WRITEBACK_ERROR, Errno.EIO);
            scene.disk.heal();
            scene.assertNewSnapshotsWork();
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_error_between_unpack_and_Commit_is_found_by_Commit(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            Disk.writeDirty(scene.unpacked.resolve("data"), MEBIBYTE);
            scene.disk.fail(Blocks.DATA);
            assertThatThrownBy(() -> Disk.fsync(scene.unpacked.resolve("data"))).isInstanceOf(IOException.class);

            refused(Category.FAILED_PRECONDITION, scene.fixture.device(), () -> scene.commit("layer", LAYER));
            scene.assertPoisoned(LAYER, PoisonReason.WRITEBACK_ERROR, Errno.EIO);
            scene.disk.heal();
            scene.snapshotter().remove(LAYER);
            scene.assertNewSnapshotsWork();
            assertThat(scene.observer().error()).contains(Errno.EIO);
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_unseen_error_from_before_the_start_is_nobodys(Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem)) {
            disk.startFailing();
            Disk.writeDirty(disk.root().resolve("foreign"), MEBIBYTE);
            assertThatThrownBy(() -> Disk.fsync(disk.root().resolve("foreign"))).isInstanceOf(IOException.class);
            disk.heal();
            assertThatThrownBy(() -> Observer.on(disk, "refused").close())
                    .as("whatever the error was, the kernel says EIO to a volatile mount")
                    .isInstanceOfSatisfying(
                            SyscallException.class, e -> assertThat(e.errno()).isEqualTo(Errno.EIO));

            try (FailureScene<FaultyDisk> scene = FailureScene.on(disk)) {
                assertThat(scene.fixture.superblock()).isEqualTo(State.HEALTHY);
                assertThat(scene.observer().error()).isEmpty();
                scene.assertNothingPoisoned();
                scene.assertNewSnapshotsWork();
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_error_on_the_disk_of_the_records_loses_neither_poison_nor_an_acknowledged_record(Disk.FileSystem fileSystem)
            throws Exception {
        try (FailureScene<FaultyDisk> scene = FailureScene.on(FaultyDisk.create(fileSystem))) {
            Snapshotter snapshotter = scene.snapshotter();
            scene.disk.startFailing();
            String last = "";
            // More than fits into the blocks that the records have.
            for (int i = 0; i < 20; i++) {
                last = i + "x".repeat(3_000);
                snapshotter.update(CONTAINER, Map.of("label", last), List.of());
            }
            scene.loseDataOfContainer();
            assertThatThrownBy(scene.disk::syncfs).isInstanceOf(IOException.class);
            scene.awaitPoison();
            // With which errno depends on whose write was lost last when they were asked.
            for (String key : List.of(CONTAINER, LAYER)) {
                assertThat(scene.snapshotter().stat(key).labels())
                        .containsEntry(Labels.POISONED, PoisonReason.WRITEBACK_ERROR.word());
                refused(Category.FAILED_PRECONDITION, "is poisoned", () -> snapshotter.mounts(key));
            }
            scene.disk.heal();
            scene.assertNewSnapshotsWork();

            scene.fixture.restart();

            assertThat(scene.snapshotter().stat(CONTAINER).labels())
                    .containsEntry("label", last)
                    .containsEntry(Labels.POISONED, PoisonReason.WRITEBACK_ERROR.word());
            assertThat(scene.isPoisoned(LAYER)).isTrue();
            assertThat(scene.observer().error()).isPresent();
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_read_that_fails_poisons_nothing(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            Path file = scene.merged.resolve("data");
            Disk.writeDirty(file, MEBIBYTE);
            scene.disk.syncfs();
            scene.disk.failReads(Blocks.DATA);
            scene.disk.dropCaches();
            assertThatThrownBy(() -> Files.readAllBytes(file)).hasMessageContaining("Input/output error");

            assertThat(scene.observer().error()).isEmpty();
            scene.assertNothingPoisoned();
            assertThat(scene.fixture.superblock()).isEqualTo(State.HEALTHY);
            scene.disk.heal();
            assertThat(Files.readAllBytes(file)).hasSize(MEBIBYTE);
            scene.assertNewSnapshotsWork();
        }
    }

    /** Whoever writes past the cache is told himself, and the kernel keeps no error; btrfs has to copy the data, and does keep it. */
    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS"})
    void a_direct_write_that_fails_poisons_nothing(Disk.FileSystem fileSystem) throws Exception {
        try (FailureScene<FuseDisk> scene = FailureScene.on(FuseDisk.create(fileSystem))) {
            Path file = scene.merged.resolve("data");
            Disk.writeDirty(file, MEBIBYTE);
            scene.disk.syncfs();
            scene.disk.fail(Blocks.DATA);
            Path marked = Files.createTempDirectory("direct").resolve("marked");
            Disk.writeDirty(marked, MEBIBYTE);
            try {
                assertThatThrownBy(() -> Command.run(
                                "dd", "if=" + marked, "of=" + file, "bs=1M", "oflag=direct", "conv=notrunc"))
                        .hasMessageContaining("Input/output error");
            } finally {
                Files.delete(marked);
                Files.delete(marked.getParent());
            }

            assertThat(scene.observer().error()).isEmpty();
            scene.assertNothingPoisoned();
            scene.disk.heal();
            scene.assertNewSnapshotsWork();
        }
    }
}
