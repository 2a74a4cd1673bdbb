package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Nothing that uses a snapshot keeps it from being removed. */
@Tag("kernel")
class RemovalTest {
    private static final Duration BOUND = Duration.ofSeconds(20);

    @TempDir
    Path directory;

    private RunningSnapshotterFixture fixture;
    private Layout layout;
    private Path merged;

    @BeforeEach
    void start() throws Exception {
        fixture = new RunningSnapshotterFixture(directory);
        layout = fixture.layout();
        fixture.layer("base", "", "file", "from below");
        merged = Path.of(fixture.snapshotter()
                .prepare("default/1/c", "base", Map.of())
                .getFirst()
                .source());
    }

    @AfterEach
    void stop() throws Exception {
        fixture.close();
    }

    private void removeAndCheck() throws Exception {
        fixture.snapshotter().remove("default/1/c");
        assertThat(merged.getParent()).doesNotExist();
        assertThat(MountInfo.below(layout.snapshots())).isEmpty();
        fixture.snapshotter().cleanup();
        await().atMost(BOUND).untilAsserted(() -> assertThat(layout.trash()).isEmptyDirectory());
    }

    @Test
    void open_files_do_not_keep_it() throws Exception {
        try (OutputStream open = Files.newOutputStream(merged.resolve("open"))) {
            open.write('x');
            removeAndCheck();
            open.write('y');
        }
    }

    @Test
    void a_process_whose_working_directory_it_is_does_not_keep_it() throws Exception {
        Process process =
                new ProcessBuilder("sleep", "60").directory(merged.toFile()).start();
        try {
            removeAndCheck();
        } finally {
            process.destroyForcibly();
        }
    }

    @Test
    void bind_mounts_elsewhere_do_not_keep_it_and_stay() throws Exception {
        Path bundle = Files.createDirectory(directory.resolve("bundle"));
        Mounting.bind(merged, bundle, false);
        try {
            Files.writeString(bundle.resolve("written"), "before");
            fixture.snapshotter().remove("default/1/c");
            assertThat(merged.getParent()).doesNotExist();
            assertThat(MountInfo.containing(bundle).isVolatile()).isTrue();
        } finally {
            Mounting.detach(bundle);
        }
        fixture.snapshotter().cleanup();
        assertThat(layout.trash()).isEmptyDirectory();
    }

    /** As a container's: a copy of every mount, that no unmount here reaches. */
    @Test
    void another_mount_namespace_does_not_keep_it() throws Exception {
        Path isReady = directory.resolve("is-ready");
        Process container = new ProcessBuilder(
                        "unshare",
                        "--mount",
                        "--propagation",
                        "private",
                        "sh",
                        "-c",
                        "cd " + merged + " && touch " + isReady + " && exec sleep 60")
                .start();
        try {
            await().atMost(BOUND).until(() -> Files.exists(isReady));
            removeAndCheck();
        } finally {
            container.destroyForcibly();
        }
    }

    @Test
    void mounts_inside_it_do_not_keep_it_and_nothing_on_them_is_touched() throws Exception {
        Path foreign = Files.createDirectory(directory.resolve("foreign"));
        Files.writeString(foreign.resolve("precious"), "not ours");
        Path inside = Files.createDirectory(layout.upper(2).resolve("inside"));
        Mounting.bind(foreign, inside, false);
        Mounting.bind(foreign, merged.getParent(), false);
        removeAndCheck();
        assertThat(foreign.resolve("precious")).hasContent("not ours");
        assertThat(MountInfo.below(layout.root())).isEmpty();
    }

    @Test
    void the_trash_of_one_daemon_is_deleted_by_the_next() throws Exception {
        fixture.stop();
        Path left = Files.createDirectories(layout.trash().resolve("17.1").resolve("fs"));
        Files.writeString(left.resolve("file"), "x");
        fixture.start();
        await().atMost(BOUND).untilAsserted(() -> assertThat(layout.trash()).isEmptyDirectory());
    }

    /** As on a filesystem that has no room for one more name in the trash. */
    @Test
    void what_can_not_be_moved_to_the_trash_is_counted_and_moved_as_soon_as_it_can_be() throws Exception {
        replaceTrashByReadOnly();
        try {
            fixture.snapshotter().remove("default/1/c");
            assertThat(merged.getParent()).exists();
            assertThat(fixture.metric("trash_waiting")).isEqualTo(1);
            assertThat(fixture.metric("trash_failing")).isEqualTo(1);
            fixture.snapshotter().cleanup();
            assertThat(merged.getParent()).exists();
            assertThat(fixture.metric("cleanups_total{outcome=\"left\"}")).isEqualTo(1);
        } finally {
            Mounting.detach(layout.trash());
        }
        fixture.snapshotter().cleanup();
        assertThat(merged.getParent()).doesNotExist();
        assertThat(layout.trash()).isEmptyDirectory();
        assertThat(fixture.metric("trash_waiting")).isZero();
        assertThat(fixture.metric("trash_failing")).isZero();
    }

    @Test
    void a_prepare_that_fails_leaves_nothing_once_the_trash_takes_its_directory() throws Exception {
        replaceTrashByReadOnly();
        try {
            Files.move(layout.upper(1), directory.resolve("moved-away"));
            Files.createFile(layout.upper(1));
            assertThatThrownBy(() -> fixture.snapshotter().prepare("default/2/fails", "base", Map.of()))
                    .isInstanceOf(SnapshotException.class);
            assertThat(layout.snapshots().resolve("3")).exists();
            assertThat(fixture.metric("trash_failing")).isEqualTo(1);
        } finally {
            Mounting.detach(layout.trash());
        }
        fixture.snapshotter().cleanup();
        assertThat(layout.snapshots().resolve("3")).doesNotExist();
    }

    @Test
    void a_commit_leaves_no_work_directory_once_the_trash_takes_it() throws Exception {
        replaceTrashByReadOnly();
        try {
            fixture.snapshotter().commit("layer", "default/1/c", "", Map.of(), Cancellation.NEVER);
            assertThat(layout.work(2)).exists();
        } finally {
            Mounting.detach(layout.trash());
        }
        fixture.snapshotter().cleanup();
        assertThat(layout.work(2)).doesNotExist();
        assertThat(merged).doesNotExist();
    }

    /** Nothing is in it: what Prepare and Commit of the layer have left is deleted before. */
    private void replaceTrashByReadOnly() throws Exception {
        fixture.snapshotter().cleanup();
        Mounting.bind(layout.trash(), layout.trash(), true);
    }

    /** Deletions, arrivals and listings at the same time, as at a start. */
    @Test
    void the_number_of_what_waits_comes_to_nothing_when_nothing_waits() throws Exception {
        Path trashed = Files.createDirectory(directory.resolve("trashed"));
        Path sources = Files.createDirectory(directory.resolve("sources"));
        for (int round = 0; round < 50; round++) {
            for (int i = 0; i < 20; i++) {
                Files.createDirectories(trashed.resolve(round + "-" + i));
            }
            try (Trash trash = new Trash(trashed)) {
                Thread other = Thread.ofPlatform().start(() -> {
                    for (int i = 0; i < 20; i++) {
                        try {
                            trash.throwAway(Files.createDirectory(sources.resolve("s" + i)));
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                    }
                });
                trash.start();
                other.join();
                assertThat(trash.awaitSweep(BOUND.toMillis())).isTrue();
                assertThat(trash.waiting()).as("round " + round).isZero();
            }
        }
    }

    /** Each waits for the end of its time only: what they asked for is done once. */
    @Test
    void many_who_wait_for_a_slow_trash_share_a_sweep() throws Exception {
        Path trashed = Files.createDirectory(directory.resolve("trashed"));
        for (int i = 0; i < 30_000; i++) {
            Files.createFile(trashed.resolve("1." + i));
        }
        try (Trash trash = new Trash(trashed)) {
            for (int i = 0; i < 50; i++) {
                assertThat(trash.awaitSweep(0)).isFalse();
            }
            assertThat(trash.sweepsAhead()).isLessThanOrEqualTo(2);
            assertThat(trash.awaitSweep(BOUND.toMillis())).isTrue();
            assertThat(trashed).isEmptyDirectory();
        }
    }

    @Test
    void what_can_not_be_deleted_is_counted_and_keeps_nothing_else_waiting() throws Exception {
        Path readOnly = Files.createDirectory(directory.resolve("read-only"));
        Files.createDirectories(readOnly.resolve("1.1/fs"));
        Files.createDirectories(readOnly.resolve("2.2/fs"));
        Mounting.bind(readOnly, readOnly, true);
        try (Trash trash = new Trash(readOnly)) {
            trash.start();
            assertThat(trash.awaitSweep(BOUND.toMillis())).isFalse();
            assertThat(trash.failing()).isEqualTo(2);
            assertThat(trash.waiting()).isEqualTo(2);
            Mounting.detach(readOnly);
            assertThat(trash.awaitSweep(BOUND.toMillis())).isTrue();
            assertThat(trash.failing()).isZero();
            assertThat(trash.waiting()).isZero();
            assertThat(readOnly).isEmptyDirectory();
        } finally {
            for (MountInfo mount : MountInfo.below(readOnly)) {
                Mounting.detach(Path.of(mount.mountPoint()));
            }
        }
    }
}
