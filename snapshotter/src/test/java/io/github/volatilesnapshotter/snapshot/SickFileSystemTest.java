package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.OnSickFileSystem;
import io.github.volatilesnapshotter.superblock.State;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What new snapshots get while errors keep coming, and afterwards. */
@Tag("kernel")
class SickFileSystemTest {
    private static final int MEBIBYTE = 1024 * 1024;
    private static final Duration BOUND = Duration.ofSeconds(20);

    private static List<Mount> container(RunningSnapshotterFixture fixture, String key) throws SnapshotException {
        return fixture.snapshotter().prepare(key, "", Map.of());
    }

    /** The disk goes on failing. */
    private static void loseAWrite(RunningSnapshotterFixture fixture, Disk disk, String key) throws Exception {
        Path merged = Path.of(container(fixture, key).getFirst().source());
        disk.startFailing();
        Disk.writeDirty(merged.resolve("data"), MEBIBYTE);
        assertThatThrownBy(() -> Disk.fsync(fixture.layout().upper(idOf(merged)).resolve("data")))
                .isInstanceOf(IOException.class);
        await().atMost(BOUND)
                .until(() -> fixture.snapshotter().stat(key).labels().containsKey(Labels.POISONED));
    }

    /** From {@code snapshots/<id>/merged}. */
    private static long idOf(Path merged) {
        return Long.parseLong(merged.getParent().getFileName().toString());
    }

    private static RunningSnapshotterFixture fixture(Disk disk, OnSickFileSystem onSick) throws Exception {
        return new RunningSnapshotterFixture(disk.root(), 60_000, onSick);
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS"})
    void a_disk_that_stores_no_data_gets_nothing_new_and_a_volatile_container_as_soon_as_it_has_healed(
            Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = fixture(disk, OnSickFileSystem.DURABLE);
                Observer observer = Observer.on(disk, "observer")) {
            loseAWrite(fixture, disk, "default/1/before");
            await().atMost(BOUND).until(() -> fixture.superblock() == State.FAILED);

            for (String key : List.of("default/2/container", "default/2/extract-layer")) {
                assertThatThrownBy(() -> container(fixture, key))
                        .isInstanceOfSatisfying(
                                SnapshotException.class,
                                e -> assertThat(e.category()).isEqualTo(Category.UNAVAILABLE))
                        .hasMessageContaining(key)
                        .hasMessageContaining(fixture.device() + " is failed")
                        .hasMessageContaining("ENOSPC");
            }

            disk.heal();
            List<Mount> after = container(fixture, "default/3/after");
            assertThat(after.getFirst().type())
                    .as("nobody waits for a pause to end")
                    .isEqualTo("bind");
            assertThat(fixture.superblock()).isEqualTo(State.HEALTHY);
            assertThat(fixture.snapshotter().stat("default/3/after").labels()).doesNotContainKey(Labels.POISONED);
            fixture.layerAfterRecovery("layer");
            assertThat(observer.error()).isPresent();
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS"})
    void while_errors_keep_coming_new_containers_get_a_plain_overlay_until_it_is_quiet(Disk.FileSystem fileSystem)
            throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = fixture(disk, OnSickFileSystem.DURABLE);
                Observer observer = Observer.on(disk, "observer")) {
            loseManyWrites(fixture, disk);

            List<Mount> meanwhile = container(fixture, "default/4/meanwhile");

            assertThat(meanwhile.getFirst().type()).isEqualTo("overlay");
            assertThat(meanwhile.getFirst().options()).noneMatch(option -> option.contains("volatile"));
            await().atMost(BOUND).until(() -> fixture.superblock() == State.HEALTHY);
            assertThat(container(fixture, "default/5/after").getFirst().type()).isEqualTo("bind");
            assertThat(observer.error()).contains(Errno.EIO);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS"})
    void while_errors_keep_coming_new_containers_are_refused_where_that_is_wanted(Disk.FileSystem fileSystem)
            throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = fixture(disk, OnSickFileSystem.REFUSE);
                Observer observer = Observer.on(disk, "observer")) {
            loseManyWrites(fixture, disk);

            assertThatThrownBy(() -> container(fixture, "default/4/meanwhile"))
                    .isInstanceOfSatisfying(
                            SnapshotException.class,
                            e -> assertThat(e.category()).isEqualTo(Category.UNAVAILABLE))
                    .hasMessageContaining("default/4/meanwhile")
                    .hasMessageContaining("device " + fixture.device() + " is failing: writeback error EIO");
            assertThat(observer.error()).contains(Errno.EIO);

            await().atMost(BOUND).until(() -> fixture.superblock() == State.HEALTHY);
            assertThat(container(fixture, "default/5/after").getFirst().type()).isEqualTo("bind");
        }
    }

    /** Each of them can be cleared: the disk fails nothing but marked data. */
    private static void loseManyWrites(RunningSnapshotterFixture fixture, FuseDisk disk) throws Exception {
        for (int i = 0; i < 3; i++) {
            loseAWrite(fixture, disk, "default/" + i + "/container");
            disk.heal();
            // A Prepare of a layer waits until the error is cleared.
            fixture.snapshotter().prepare("default/" + i + "/extract-layer", "", Map.of());
        }
        assertThat(fixture.superblock()).isEqualTo(State.FAILING);
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void the_files_that_lost_a_write_are_named(Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = fixture(disk, OnSickFileSystem.DURABLE);
                Observer observer = Observer.on(disk, "observer")) {
            loseAWrite(fixture, disk, "default/1/container");
            disk.heal();

            await().atMost(BOUND)
                    .untilAsserted(
                            () -> assertThatThrownBy(() -> fixture.snapshotter().mounts("default/1/container"))
                                    .hasMessageContaining("lost a write: ")
                                    .hasMessageContaining("snapshot default/1/container: /data"));
            assertThat(observer.error()).isPresent();
        }
    }
}
