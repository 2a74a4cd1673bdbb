package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a failing disk does to snapshots, on real filesystems. */
@Tag("kernel")
class PoisonTest {
    private static final int MEBIBYTE = 1024 * 1024;
    private static final Duration BOUND = Duration.ofSeconds(20);

    private static void refused(Category category, String inMessage, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        SnapshotException.class, e -> assertThat(e.category()).isEqualTo(category))
                .hasMessageContaining(inMessage);
    }

    private static Path container(RunningSnapshotterFixture fixture, String key) throws SnapshotException {
        return Path.of(
                fixture.snapshotter().prepare(key, "", Map.of()).getFirst().source());
    }

    private static Path layer(RunningSnapshotterFixture fixture, String key) throws SnapshotException {
        return RunningSnapshotterFixture.upperOf(fixture.snapshotter().prepare(key, "", Map.of()));
    }

    private static boolean isPoisoned(RunningSnapshotterFixture fixture, String key) throws SnapshotException {
        return fixture.snapshotter().stat(key).labels().containsKey(Labels.POISONED);
    }

    /** Fails the writeback of a file that is on no snapshot: the kernel poisons whole superblocks. */
    private static void loseAWrite(FaultyDisk disk) throws IOException {
        Path file = disk.root().resolve("lost-" + System.nanoTime());
        disk.startFailing();
        Disk.writeDirty(file, MEBIBYTE);
        assertThatThrownBy(() -> Disk.fsync(file)).isInstanceOf(IOException.class);
        disk.heal();
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void a_failed_writeback_poisons_what_was_mounted_before_it_and_nothing_that_is_mounted_after(
            Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root());
                Observer observer = Observer.on(disk, "observer")) {
            Snapshotter snapshotter = fixture.snapshotter();
            Path merged = container(fixture, "default/1/before");
            disk.startFailing();
            Disk.writeDirty(merged.resolve("data"), MEBIBYTE);
            assertThatThrownBy(() -> Disk.fsync(fixture.layout().upper(1).resolve("data")))
                    .isInstanceOf(IOException.class);

            await().atMost(BOUND).until(() -> isPoisoned(fixture, "default/1/before"));
            disk.heal();

            Map<String, String> labels = snapshotter.stat("default/1/before").labels();
            assertThat(labels).containsEntry(Labels.POISONED, "writeback-error").containsEntry(Labels.GENERATION, "0");
            assertThat(Instant.parse(labels.get(Labels.POISONED_AT))).isBefore(Instant.now());
            assertThat(snapshotter.list(List.of("labels.\"" + Labels.POISONED + "\"==writeback-error")))
                    .toIterable()
                    .hasSize(1);
            refused(
                    Category.FAILED_PRECONDITION,
                    "poisoned: writeback-error",
                    () -> snapshotter.mounts("default/1/before"));
            refused(Category.FAILED_PRECONDITION, fixture.device(), () -> snapshotter.mounts("default/1/before"));
            refused(
                    Category.FAILED_PRECONDITION,
                    "poisoned",
                    () -> snapshotter.commit("layer", "default/1/before", "", Map.of(), Cancellation.NEVER));
            await().atMost(BOUND)
                    .untilAsserted(() -> assertThat(fixture.poisonings).hasSize(1));
            assertThat(fixture.poisonings.getFirst().clientKey()).isEqualTo("before");
            assertThat(fixture.poisonings.getFirst().device()).isEqualTo(disk.number());

            Path fresh = container(fixture, "default/2/after");
            Disk.writeDirty(fresh.resolve("data"), MEBIBYTE);
            assertThat(snapshotter.mounts("default/2/after")).hasSize(1);
            assertThat(observer.error())
                    .as("the error stays visible to those who sampled before it")
                    .isPresent();
            snapshotter.remove("default/1/before");
            refused(Category.NOT_FOUND, "before", () -> snapshotter.stat("default/1/before"));
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS", "BTRFS"})
    void a_layer_whose_data_was_lost_is_not_committed_even_if_somebody_else_consumed_the_error(
            Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root());
                Observer observer = Observer.on(disk, "observer")) {
            Path upper = layer(fixture, "extract-1");
            disk.startFailing();
            Disk.writeDirty(upper.resolve("data"), MEBIBYTE);
            assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);
            disk.heal();
            // The daemon tries the disk again and again, and meets the error too.
            await("the error is consumed")
                    .atMost(BOUND)
                    .untilAsserted(() -> assertThatCode(disk::syncfs).doesNotThrowAnyException());

            refused(
                    Category.FAILED_PRECONDITION,
                    "poisoned",
                    () -> fixture.snapshotter().commit("layer", "extract-1", "", Map.of(), Cancellation.NEVER));
            assertThat(fixture.snapshotter().stat("extract-1").labels()).containsKey(Labels.POISONED);
            refused(Category.NOT_FOUND, "layer", () -> fixture.snapshotter().stat("layer"));

            fixture.snapshotter().remove("extract-1");
            fixture.layerAfterRecovery("layer");
            assertThat(observer.error()).isPresent();
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4", "XFS", "BTRFS"})
    void the_sync_of_a_commit_itself_may_be_what_fails(Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root());
                Observer observer = Observer.on(disk, "observer")) {
            Path durable = layer(fixture, "extract-1");
            Path merged = container(fixture, "default/2/build");
            disk.startFailing();
            Disk.writeDirty(durable.resolve("data"), MEBIBYTE);
            Disk.writeDirty(merged.resolve("data"), MEBIBYTE);
            for (String key : List.of("extract-1", "default/2/build")) {
                refused(
                        Category.FAILED_PRECONDITION,
                        "poisoned",
                        () -> fixture.snapshotter().commit("of " + key, key, "", Map.of(), Cancellation.NEVER));
                assertThat(isPoisoned(fixture, key)).isTrue();
            }
            disk.heal();
            // Records that can't be trusted are left open by a stop, and the disk could not be unmounted.
            fixture.layerAfterRecovery("layer");
            assertThat(observer.error()).isPresent();
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_unseen_error_is_cleared_and_the_refused_mount_tried_again(Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root());
                Observer observer = Observer.on(disk, "observer")) {
            container(fixture, "default/1/before");
            loseAWrite(disk);
            // Whoever comes first, the watch or this request, ends the epoch.
            Path merged = container(fixture, "default/2/after");
            assertThat(observer.error()).isPresent();
            await().atMost(BOUND).until(() -> isPoisoned(fixture, "default/1/before"));
            assertThat(isPoisoned(fixture, "default/2/after")).isFalse();
            Disk.writeDirty(merged.resolve("data"), MEBIBYTE);
            fixture.layerAfterRecovery("layer");
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void once_the_disk_is_well_and_the_error_cleared_the_first_layer_is_committed_at_the_first_try(
            Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root());
                Observer observer = Observer.on(disk, "observer")) {
            Snapshotter snapshotter = fixture.snapshotter();
            Path merged = container(fixture, "default/1/c");
            disk.startFailing();
            Disk.writeDirty(merged.resolve("data"), MEBIBYTE);
            // Records that the disk loses with it: more than fit into the blocks that their log has already.
            for (int i = 0; i < 20; i++) {
                snapshotter.update("default/1/c", Map.of("label", i + "x".repeat(3_000)), List.of());
            }
            assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);
            disk.heal();
            await().atMost(BOUND).until(() -> isPoisoned(fixture, "default/1/c"));

            // A Prepare waits for an epoch that is under way, and then for the records.
            Path upper = layer(fixture, "default/2/extract-1");
            Files.writeString(upper.resolve("data"), "x");
            snapshotter.commit("layer", "default/2/extract-1", "", Map.of(), Cancellation.NEVER);

            assertThat(snapshotter.stat("layer").kind()).isEqualTo(Kind.COMMITTED);
            assertThat(observer.error()).isPresent();
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_error_while_the_daemon_is_down_is_found_at_its_start(Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                RunningSnapshotterFixture fixture = new RunningSnapshotterFixture(disk.root());
                Observer observer = Observer.on(disk, "observer")) {
            container(fixture, "default/1/container");
            layer(fixture, "extract-1");
            fixture.stop();
            loseAWrite(disk);
            assertThatThrownBy(disk::syncfs).as("and somebody consumes it").isInstanceOf(IOException.class);
            assertThat(observer.error()).isPresent();
            fixture.start();
            assertThat(isPoisoned(fixture, "default/1/container")).isTrue();
            assertThat(isPoisoned(fixture, "extract-1")).isTrue();
            await().atMost(BOUND)
                    .untilAsserted(() -> assertThat(fixture.poisonings)
                            .extracting(Poisoning::clientKey)
                            .contains("container"));
            refused(
                    Category.FAILED_PRECONDITION,
                    "is poisoned: writeback-error (",
                    () -> fixture.snapshotter().mounts("default/1/container"));
            refused(
                    Category.FAILED_PRECONDITION,
                    "is poisoned: unverifiable on " + fixture.device(),
                    () -> fixture.snapshotter().commit("layer", "extract-1", "", Map.of(), () -> false));
            await().atMost(BOUND)
                    .untilAsserted(() -> assertThat(Files.readString(
                                    RecoveryReports.newest(fixture.layout().root())
                                            .orElseThrow()))
                            .contains("its filesystem has had a writeback error while no daemon watched it"));
            container(fixture, "default/2/after");
            assertThat(isPoisoned(fixture, "default/2/after")).isFalse();
            assertThat(observer.error()).isPresent();
        }
    }
}
