package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import io.github.volatilesnapshotter.metadata.Upper;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Each row of the table in docs/architecture.md, Starting again, that {@link RecoveryTest} does not have. */
@Tag("kernel")
class RecoveryStatesTest extends SnapshotterKit {
    private static final Duration BOUND = Duration.ofSeconds(20);

    private Layout layout;

    @BeforeEach
    void start() throws Exception {
        layout = fixture.layout();
        fixture.layer("base", "", "file", "from below");
        fixture.layer("top", "base", "more", "from above");
    }

    private Path container(String key) throws SnapshotException {
        return fixture.container(key, "top");
    }

    private String poison(String key) throws SnapshotException {
        return fixture.poison(key);
    }

    @Test
    void an_overlay_that_is_unmounted_or_covered_while_the_daemon_runs_is_told_of_until_it_is_back() throws Exception {
        Path unmounted = container("default/1/unmounted");
        Path covered = container("default/2/covered");
        Path left = container("default/3/left");
        assertThat(fixture.metric("displaced_overlays")).isZero();

        Mounting.detach(unmounted);
        Mounting.bind(left, covered, false);

        await().atMost(BOUND).until(() -> fixture.metric("displaced_overlays") == 2);
        Mounting.detach(covered);
        await().atMost(BOUND).until(() -> fixture.metric("displaced_overlays") == 1);
        fixture.snapshotter().remove("default/1/unmounted");
        await().atMost(BOUND).until(() -> fixture.metric("displaced_overlays") == 0);
    }

    @Test
    void the_place_of_an_overlay_that_was_unmounted_is_given_to_nobody_before_it_is_back() throws Exception {
        String key = "default/1/unmounted";
        Path merged = fixture.container(key, "");
        Mounting.detach(merged);

        assertThatThrownBy(() -> fixture.snapshotter().mounts(key))
                .isInstanceOf(SnapshotException.class)
                .hasMessageContaining("is not what is mounted at " + merged);

        fixture.restart();
        assertThat(fixture.snapshotter().mounts(key)).hasSize(1);
        assertThat(mountsAt(merged)).hasSize(1);
    }

    private static List<MountInfo> mountsAt(Path mountPoint) throws Exception {
        return MountInfo.below(mountPoint);
    }

    private static long idOf(Path merged) {
        return Long.parseLong(merged.getParent().getFileName().toString());
    }

    private long idOf(String key) throws Exception {
        try (SnapshotStore store = SqliteSnapshotStore.open(layout.database())) {
            return store.find(key).orElseThrow().id();
        }
    }

    private List<String> trash() throws Exception {
        return DirectoryTree.names(layout.trash()).stream()
                .map(DirectoryTree.Name::name)
                .toList();
    }

    @Test
    void a_foreign_mount_on_top_of_a_container_is_detached_and_the_container_runs_on() throws Exception {
        Path merged = container("default/1/c");
        Files.writeString(merged.resolve("written"), "by the container");
        fixture.stop();
        Mounting.bind(layout.empty(), merged, true);
        Mounting.bind(layout.empty(), merged.getParent(), false);
        fixture.start();
        assertThat(poison("default/1/c")).isEmpty();
        assertThat(mountsAt(merged.getParent())).hasSize(1);
        assertThat(merged.resolve("written")).hasContent("by the container");
    }

    @Test
    void what_is_mounted_inside_a_container_is_left_alone() throws Exception {
        Path merged = container("default/1/c");
        Path inside = Files.createDirectory(merged.resolve("volume"));
        Mounting.bind(layout.empty(), inside, true);
        fixture.restart();
        assertThat(poison("default/1/c")).isEmpty();
        assertThat(mountsAt(inside)).hasSize(1);
    }

    @Test
    void an_overlay_that_runs_on_elsewhere_is_put_back_and_not_mounted_a_second_time() throws Exception {
        Path merged = container("default/1/c");
        Path bundle = Files.createDirectory(directory.resolve("bundle"));
        Mounting.bind(merged, bundle, false);
        try {
            fixture.stop();
            Mounting.detach(merged);
            Files.writeString(bundle.resolve("meanwhile"), "copied up through the work directory that it has");
            Mounting.detach(fixture.state().resolve("sentinel").resolve(fixture.device()));
            fixture.start();
            assertThat(poison("default/1/c")).as("it has a memory of its own").isEmpty();
            Files.writeString(merged.resolve("file"), "changed");
            assertThat(bundle.resolve("file")).hasContent("changed");
            assertThat(merged.resolve("meanwhile")).exists();
            assertThat(trash()).as("its work directory").isEmpty();
        } finally {
            Mounting.detach(bundle);
        }
    }

    /** As for want of descriptors or memory in that moment. */
    @Test
    void an_overlay_that_can_not_be_taken_over_at_once_is_so_later_and_not_mounted_a_second_time() throws Exception {
        Path merged = container("default/1/c");
        List<SyscallException> failures = new ArrayList<>();
        Recovery recovery = fixture.recovery((superblock, trash) -> new Uppers(layout, superblock, trash) {
            @Override
            void adopt(long id) throws SyscallException {
                if (failures.isEmpty()) {
                    failures.add(new SyscallException("openat", merged.toString(), Errno.ENFILE, ""));
                    throw failures.getFirst();
                }
                super.adopt(id);
                overlay(id).orElseThrow().close();
            }
        });
        recovery.adopt();
        assertThat(recovery.judge(WatchedSuperblock.Past.UNKNOWN)).isTrue();
        assertThat(failures).hasSize(1);
        assertThat(mountsAt(merged)).hasSize(1);
        assertThat(poison("default/1/c")).as("it has a memory of its own").isEmpty();
        assertThat(recovery.report().countOf(RecoveryReport.Outcome.ADOPTED)).isEqualTo(1);
    }

    @Test
    void a_layer_without_its_directory_is_told_of_and_refused_below_anything_new() throws Exception {
        Path mounted = container("default/1/mounted");
        Path unmounted = container("default/2/unmounted");
        fixture.snapshotter().view("view", "top", Map.of());
        fixture.stop();
        Mounting.detach(unmounted);
        long base = idOf("base");
        Path elsewhere = Files.move(layout.snapshot(base), directory.resolve("elsewhere"));
        fixture.start();

        assertThat(poison("base")).isEqualTo("missing");
        assertThat(poison("top")).as("its own directory is there").isEmpty();
        refused(() -> fixture.snapshotter().prepare("default/3/c", "top", Map.of()));
        refused(() -> fixture.snapshotter().prepare("default/3/c", "base", Map.of()));
        refused(() -> fixture.snapshotter().view("default/3/v", "top", Map.of()));
        refused(() -> fixture.snapshotter().mounts("view"));
        assertThat(poison("default/1/mounted")).as("has all its layers open").isEmpty();
        assertThat(mounted.resolve("file")).hasContent("from below");
        assertThat(poison("default/2/unmounted")).isEqualTo("missing");
        assertThat(report()).contains("outcome = \"lost-layer\"").contains("key = \"base\"");

        fixture.stop();
        Files.move(elsewhere, layout.snapshot(base));
        fixture.start();
        assertThat(poison("base")).as("it has come back").isEmpty();
        assertThat(container("default/3/c").resolve("file")).hasContent("from below");
    }

    @Test
    void a_lost_layer_can_be_removed_and_unpacked_again() throws Exception {
        fixture.snapshotter().remove("top");
        fixture.stop();
        DirectoryTree.delete(layout.snapshot(idOf("base")));
        fixture.start();
        refused(() -> fixture.snapshotter().prepare("default/3/c", "base", Map.of()));
        fixture.snapshotter().remove("base");
        fixture.layer("base", "", "file", "unpacked again");
        fixture.layer("top", "base", "more", "from above");
        assertThat(container("default/3/c").resolve("file")).hasContent("unpacked again");
    }

    /** It is found after the start, by a look into each layer. */
    @Test
    void a_layer_whose_directory_is_there_but_not_its_files_is_lost_too() throws Exception {
        fixture.stop();
        DirectoryTree.delete(layout.upper(idOf("base")));
        fixture.start();
        await().atMost(BOUND).until(() -> poison("base").equals("missing"));
        refused(() -> fixture.snapshotter().prepare("default/3/c", "top", Map.of()));
    }

    private static void refused(ThrowingCallable request) {
        assertThatThrownBy(request)
                .isInstanceOfSatisfying(
                        SnapshotException.class, e -> assertThat(e.category()).isEqualTo(Category.FAILED_PRECONDITION))
                .hasMessageContaining("stands on layer base, whose directory snapshots/")
                .hasMessageContaining(
                        "remove the containers and images that use it (ctr image rm --sync), and pull them again");
    }

    @Test
    void a_file_in_the_place_of_a_directory_is_as_good_as_none() throws Exception {
        Path merged = container("default/1/c");
        fixture.stop();
        Mounting.detach(merged);
        DirectoryTree.delete(merged.getParent());
        Files.writeString(merged.getParent(), "a file");
        fixture.start();
        assertThat(poison("default/1/c")).isEqualTo("missing");
        assertThat(merged.getParent()).doesNotExist();
        fixture.snapshotter().remove("default/1/c");
    }

    @Test
    void names_that_are_not_ids_are_left_alone() throws Exception {
        long id = idOf(container("default/1/c"));
        fixture.stop();
        List<Path> odd = Stream.of("0" + id, "+" + id, "-3", "0", "9223372036854775807", "notes")
                .map(layout.snapshots()::resolve)
                .toList();
        for (Path path : odd) {
            Files.createDirectory(path);
        }
        fixture.start();
        assertThat(odd).allMatch(Files::exists);
        assertThat(idOf(container("default/2/c"))).isPositive().isLessThan(1_000_000);
    }

    @Test
    void what_a_commit_that_was_killed_after_its_record_has_left_is_tidied_up() throws Exception {
        Path merged = container("default/1/c");
        long id = idOf(merged);
        fixture.stop();
        change(
                id,
                record -> record.withKey("layer").withKind(RecordKind.COMMITTED).withUpper(null));
        fixture.start();
        assertThat(mountsAt(layout.snapshot(id))).isEmpty();
        await().atMost(BOUND).until(() -> Files.notExists(layout.work(id)) && Files.notExists(merged));
        assertThat(layout.upper(id)).isDirectory();
    }

    /** A power cut has taken the newest ordered transactions: those of a Prepare, and those of a Remove. */
    @Test
    void a_lost_tail_of_the_records_is_understood() throws Exception {
        Path removed = container("default/1/removed");
        SnapshotRecord record;
        fixture.stop();
        try (SnapshotStore store = SqliteSnapshotStore.open(layout.database())) {
            record = store.find("default/1/removed").orElseThrow();
        }
        fixture.start();
        fixture.snapshotter().remove("default/1/removed");
        Path prepared = container("default/2/prepared");
        fixture.stop();
        Mounting.detach(prepared);
        Upper upper = record.upper();
        try (SnapshotStore store = SqliteSnapshotStore.open(layout.database())) {
            int _ = store.<Integer, RuntimeException>ordered(transaction -> {
                transaction.insert(record.withUpper(
                        new Upper(upper.role(), upper.pool(), "another-boot", upper.superblock(), upper.generation())));
                transaction.delete(idOf(prepared));
                return 1;
            });
        }
        fixture.start();
        assertThat(poison("default/1/removed")).isEqualTo("crash");
        assertThat(removed.getParent()).doesNotExist();
        assertThat(prepared.getParent()).doesNotExist();
        assertThatThrownBy(() -> fixture.snapshotter().stat("default/2/prepared"))
                .hasMessageContaining("not exist");
        assertThat(idOf(container("default/3/next"))).isGreaterThan(idOf(prepared));
        fixture.snapshotter().remove("default/1/removed");
    }

    @Test
    void records_from_a_backup_that_is_older_than_the_directories() throws Exception {
        fixture.layer("removed-since", "", "file", "x");
        Path removedSince = container("default/1/removed-since");
        fixture.stop();
        Path backup = directory.resolve("backup.db");
        try (StoppedRoot root = StoppedRoot.open(layout.root())) {
            root.copyRecords(backup, fixture.state());
        }
        fixture.start();
        fixture.snapshotter().remove("removed-since");
        fixture.snapshotter().remove("default/1/removed-since");
        fixture.layer("since", "base", "file", "y");
        Path since = container("default/2/since");
        fixture.snapshotter().cleanup();
        fixture.stop();
        StoppedRoot.Restored restored;
        try (StoppedRoot root = StoppedRoot.open(layout.root())) {
            restored = root.restore(backup);
        }
        assertThat(restored.lostLayers()).isEqualTo(1);
        assertThat(restored.orphans()).isEqualTo(2);
        fixture.start();
        assertThat(poison("removed-since")).isEqualTo("missing");
        assertThat(poison("default/1/removed-since")).isEqualTo("missing");
        assertThat(removedSince.getParent()).doesNotExist();
        assertThat(since.getParent()).doesNotExist();
        assertThat(mountsAt(since)).isEmpty();
        assertThatThrownBy(() -> fixture.snapshotter().stat("since")).hasMessageContaining("not exist");
        Path next = container("default/3/next");
        assertThat(idOf(next)).isGreaterThan(idOf(since));
        assertThat(next.resolve("file")).hasContent("from below");
    }

    /** The directories are older: the root was put back from a copy, and the records are newer. */
    @Test
    void records_that_are_newer_than_the_directories() throws Exception {
        fixture.layer("newer", "base", "file", "y");
        Path newer = container("default/1/newer");
        fixture.stop();
        Mounting.detach(newer);
        DirectoryTree.delete(newer.getParent());
        DirectoryTree.delete(layout.snapshot(idOf("newer")));
        fixture.start();
        assertThat(poison("newer")).isEqualTo("missing");
        assertThat(poison("default/1/newer")).isEqualTo("missing");
        assertThat(container("default/2/c").resolve("more")).hasContent("from above");
    }

    @Test
    void a_backup_of_another_root_is_refused() throws Exception {
        fixture.stop();
        Path backup = directory.resolve("backup.db");
        long base = idOf("base");
        try (StoppedRoot root = StoppedRoot.open(layout.root())) {
            root.copyRecords(backup, fixture.state());
        }
        Files.writeString(layout.committedMark(base), "another\n");
        try (StoppedRoot root = StoppedRoot.open(layout.root())) {
            assertThatThrownBy(() -> root.restore(backup))
                    .isInstanceOf(StartException.class)
                    .hasMessageContaining("is a backup of another root");
        }
        fixture.start();
    }

    @Test
    void a_root_that_is_served_is_not_restored() {
        assertThatThrownBy(() -> StoppedRoot.open(layout.root()))
                .isInstanceOf(StartException.class)
                .hasMessageContaining("a daemon serves root");
    }

    /** As a kill between the two: the records say what is not trusted before a sentinel stands that would know of nothing. */
    @Test
    void what_nobody_watched_is_recorded_as_poisoned_before_a_new_sentinel_stands() throws Exception {
        fixture.snapshotter().prepare("extract-1", "base", Map.of());
        fixture.stop();
        Path sentinels = fixture.state().resolve("sentinel");
        Mounting.detach(sentinels.resolve(fixture.device()));
        Path aside = Files.move(sentinels, fixture.state().resolve("aside"));
        Files.createFile(sentinels);
        try {
            assertThatThrownBy(fixture::start).isInstanceOf(StartException.class);
            try (SnapshotStore store = SqliteSnapshotStore.open(layout.database())) {
                assertThat(store.find("extract-1").orElseThrow().poison()).isNotNull();
            }
        } finally {
            Files.delete(sentinels);
            Files.move(aside, sentinels);
            fixture.start();
        }
        assertThat(poison("extract-1")).isEqualTo("unverifiable");
    }

    @Test
    void records_that_are_missing_beside_snapshots_are_not_begun_anew() throws Exception {
        fixture.stop();
        Path aside = Files.move(layout.database(), directory.resolve("aside.db"));
        try {
            refusedStart();
            assertThat(layout.database()).doesNotExist();
            Files.createFile(layout.database());
            refusedStart();
            assertThat(layout.database()).isEmptyFile();
            assertThat(layout.upper(1)).isDirectory();
        } finally {
            Files.deleteIfExists(layout.database());
            Files.move(aside, layout.database());
            fixture.start();
        }
        assertThat(container("default/1/c").resolve("file")).hasContent("from below");
    }

    private void refusedStart() {
        assertThatThrownBy(fixture::start)
                .isInstanceOf(StartException.class)
                .hasMessageContaining(
                        layout.database() + " is missing or empty, but " + layout.snapshots() + " holds 2 snapshots")
                .hasMessageContaining("volatilectl restore FILE");
    }

    /** As the refusals and the README say it. */
    @Test
    void to_begin_anew_the_root_is_moved_away_and_the_note_of_its_last_transaction_removed() throws Exception {
        fixture.stop();
        for (MountInfo mount : MountInfo.below(layout.root())) {
            Mounting.detach(Path.of(mount.mountPoint()));
        }
        Files.move(layout.root(), directory.resolve("moved-away"));
        try {
            assertThatThrownBy(fixture::start)
                    .isInstanceOf(StartException.class)
                    .hasMessageContaining("last-transaction");
        } finally {
            Files.delete(fixture.state().resolve("last-transaction"));
            fixture.start();
        }
        assertThat(all()).isEmpty();
        fixture.layer("base", "", "file", "unpacked again");
    }

    @Test
    void a_root_whose_filesystem_was_taken_away_is_not_begun_anew() throws Exception {
        Path merged = container("default/1/c");
        fixture.stop();
        Command.run("mount", "-t", "tmpfs", "tmpfs", layout.root().toString());
        try {
            assertThatThrownBy(fixture::start)
                    .isInstanceOf(StartException.class)
                    .hasMessageContaining("and the daemon before had it on " + fixture.device())
                    .hasMessageContaining("mount that filesystem again");
            assertThat(layout.database()).doesNotExist();
        } finally {
            Mounting.detach(layout.root());
            fixture.start();
        }
        assertThat(poison("default/1/c")).isEmpty();
        assertThat(merged.resolve("file")).hasContent("from below");
    }

    @Test
    void doing_it_twice_is_doing_it_once() throws Exception {
        Path unmounted = container("default/1/unmounted");
        container("default/2/mounted");
        fixture.snapshotter().prepare("extract-1", "base", Map.of());
        fixture.stop();
        Mounting.detach(unmounted);
        Files.createDirectory(layout.snapshot(7_000));
        fixture.start();
        List<SnapshotInfo> once = all();
        fixture.restart();
        assertThat(all()).isEqualTo(once);
        assertThat(report()).contains("findings = 0\n");
        assertThat(mountsAt(unmounted)).hasSize(1);
    }

    private List<SnapshotInfo> all() throws SnapshotException {
        List<SnapshotInfo> all = new ArrayList<>();
        fixture.snapshotter().list(List.of()).forEachRemaining(all::add);
        return all;
    }

    @Test
    void a_report_that_cannot_be_written_stops_nothing() throws Exception {
        fixture.stop();
        DirectoryTree.delete(layout.recovery());
        Files.writeString(layout.recovery(), "in the way");
        DirectoryTree.delete(layout.upper(idOf("top")));
        fixture.start();
        assertThat(fixture.container("default/1/c", "base").resolve("file")).hasContent("from below");
        await("the look into each layer")
                .atMost(BOUND)
                .until(() -> poison("top").equals("missing"));
        fixture.stop();
        Files.delete(layout.recovery());
        fixture.start();
    }

    @Test
    void a_name_that_is_another_way_to_write_an_id_is_no_snapshots() throws Exception {
        fixture.stop();
        long top = idOf("top");
        Path other = layout.snapshots().resolve("0" + top);
        Files.move(layout.snapshot(top), other);
        fixture.start();
        assertThat(poison("top")).isEqualTo("missing");
        assertThat(other).isDirectory();
    }

    @Test
    void an_active_without_its_upper_directory_is_missing() throws Exception {
        fixture.snapshotter().prepare("extract-1", "base", Map.of());
        fixture.stop();
        long id = idOf("extract-1");
        DirectoryTree.delete(layout.upper(id));
        fixture.start();
        assertThat(poison("extract-1")).isEqualTo("missing");
    }

    @Test
    void the_report_tells_a_layer_without_a_record_from_another_directory() throws Exception {
        fixture.stop();
        long top = idOf("top");
        try (SnapshotStore store = SqliteSnapshotStore.open(layout.database())) {
            int _ = store.<Integer, RuntimeException>ordered(transaction -> {
                transaction.delete(top);
                return 1;
            });
        }
        Files.createDirectory(layout.snapshot(7_000));
        fixture.start();
        fixture.stop();
        assertThat(RecoveryReports.newest(layout.root()).orElseThrow())
                .content()
                .contains("thrown-away-layer", "a layer without a record", "a directory without a record");
        fixture.start();
    }

    /** Its container is gone since; it is not taken over for the moment before it is condemned. */
    @Test
    void an_overlay_of_another_boot_is_detached() throws Exception {
        Path merged = container("default/1/c");
        fixture.stop();
        change(idOf("default/1/c"), record -> {
            Upper upper = record.upper();
            return record.withUpper(
                    new Upper(upper.role(), upper.pool(), "another-boot", upper.superblock(), upper.generation()));
        });
        fixture.start();
        fixture.stop();
        assertThat(RecoveryReports.newest(layout.root()).orElseThrow())
                .content()
                .contains("made before the machine started", merged.toString());
        fixture.start();
        assertThat(poison("default/1/c")).isEqualTo("crash");
        assertThat(merged).doesNotExist();
    }

    /** Of the last start; a stop waits for it. */
    private String report() throws Exception {
        fixture.stop();
        String report = Files.readString(RecoveryReports.newest(layout.root()).orElseThrow());
        fixture.start();
        return report;
    }

    private void change(long id, UnaryOperator<SnapshotRecord> change) throws Exception {
        try (SnapshotStore store = SqliteSnapshotStore.open(layout.database())) {
            int _ = store.<Integer, RuntimeException>ordered(transaction -> {
                transaction.replace(change.apply(transaction.find(id).orElseThrow()));
                return 1;
            });
        }
    }
}
