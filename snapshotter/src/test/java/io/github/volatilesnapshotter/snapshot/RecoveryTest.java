package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import io.github.volatilesnapshotter.metadata.Upper;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What a start does with what it finds. */
@Tag("kernel")
class RecoveryTest extends SnapshotterKit {
    private static final Duration BOUND = Duration.ofSeconds(20);

    @BeforeEach
    void start() throws Exception {
        fixture.layer("base", "", "file", "from below");
    }

    private Path container(String key) throws SnapshotException {
        return fixture.container(key, "base");
    }

    private String poison(String key) throws SnapshotException {
        return fixture.poison(key);
    }

    private static long mountsAt(Path mountPoint) throws Exception {
        return MountInfo.ofSelf().stream()
                .filter(mount -> mount.mountPoint().equals(mountPoint.toString()))
                .count();
    }

    @Test
    void running_containers_stay_mounted_across_a_restart() throws Exception {
        Path merged = container("default/1/c");
        Files.writeString(merged.resolve("written"), "before");
        fixture.stop();
        Files.writeString(merged.resolve("meanwhile"), "while nobody serves");
        fixture.start();
        assertThat(fixture.snapshotter().mounts("default/1/c").getFirst().source())
                .isEqualTo(merged.toString());
        assertThat(merged.resolve("written")).hasContent("before");
        assertThat(merged.resolve("meanwhile")).hasContent("while nobody serves");
        assertThat(mountsAt(merged)).isEqualTo(1);
        assertThat(poison("default/1/c")).isEmpty();
    }

    @Test
    void a_layer_that_is_being_unpacked_goes_on_after_a_restart_that_missed_no_error() throws Exception {
        List<Mount> mounts = fixture.snapshotter().prepare("extract-1", "base", Map.of());
        fixture.restart();
        Files.writeString(RunningSnapshotterFixture.upperOf(mounts).resolve("more"), "x");
        fixture.snapshotter().commit("layer", "extract-1", "", Map.of(), Cancellation.NEVER);
        assertThat(fixture.snapshotter().stat("layer").kind()).isEqualTo(Kind.COMMITTED);
    }

    @Test
    void an_upper_that_an_operator_unmounted_is_mounted_again_if_the_sentinel_watched() throws Exception {
        Path merged = container("default/1/c");
        Files.writeString(merged.resolve("kept"), "x");
        fixture.stop();
        Mounting.detach(merged);
        fixture.start();
        assertThat(poison("default/1/c")).isEmpty();
        assertThat(merged.resolve("kept")).hasContent("x");
        assertThat(merged.resolve("file")).hasContent("from below");
        assertThat(MountInfo.containing(merged).isVolatile()).isTrue();
    }

    @Test
    void without_a_sentinel_nothing_that_was_not_watched_is_trusted() throws Exception {
        Path unmounted = container("default/1/unmounted");
        container("default/2/mounted");
        fixture.snapshotter().prepare("extract-1", "base", Map.of());
        fixture.stop();
        Mounting.detach(unmounted);
        Mounting.detach(fixture.state().resolve("sentinel").resolve(fixture.device()));
        fixture.start();
        assertThat(poison("default/1/unmounted")).isEqualTo("unverifiable");
        assertThat(poison("extract-1")).isEqualTo("unverifiable");
        assertThat(poison("default/2/mounted")).as("has a sample of its own").isEmpty();
    }

    @Test
    void a_layer_loses_what_a_crash_after_its_commit_has_left() throws Exception {
        Path layer = fixture.layout().snapshot(1);
        assertThat(layer.resolve("fs")).isDirectory();
        fixture.stop();
        Files.createDirectories(layer.resolve("work/work"));
        Files.createDirectory(layer.resolve("merged"));
        fixture.start();
        await().atMost(BOUND).until(() -> Command.run("ls", layer.toString()).equals("committed\nfs"));
        fixture.snapshotter().cleanup();
        assertThat(Command.run("ls", fixture.layout().trash().toString())).isEmpty();
    }

    @Test
    void uppers_of_another_boot_are_poisoned_and_thrown_away_and_layers_stay() throws Exception {
        container("default/1/c");
        fixture.snapshotter().prepare("extract-1", "base", Map.of());
        long container = idOf("default/1/c");
        fixture.stop();
        Mounting.detach(fixture.layout().merged(container));
        pretendAnotherBoot();
        fixture.start();
        assertThat(poison("default/1/c")).isEqualTo("crash");
        assertThat(poison("extract-1")).isEqualTo("crash");
        assertThat(fixture.layout().snapshot(container)).doesNotExist();
        assertThatThrownBy(() -> fixture.snapshotter().mounts("default/1/c")).hasMessageContaining("poisoned: crash");
        assertThat(fixture.snapshotter().usage("default/1/c", Cancellation.NEVER))
                .isEqualTo(new Usage(0, 0));
        assertThat(container("default/2/next").resolve("file")).hasContent("from below");
        fixture.restart();
        assertThat(poison("default/1/c")).as("doing it twice changes nothing").isEqualTo("crash");
        fixture.snapshotter().remove("default/1/c");
    }

    private long idOf(String key) throws Exception {
        String source = fixture.snapshotter().mounts(key).getFirst().source();
        return Long.parseLong(Path.of(source).getParent().getFileName().toString());
    }

    private void pretendAnotherBoot() throws Exception {
        try (SnapshotStore store = SqliteSnapshotStore.open(fixture.layout().database())) {
            for (SnapshotRecord record : store.all()) {
                Upper upper = record.upper();
                if (upper != null) {
                    int _ = store.<Integer, RuntimeException>ordered(transaction -> {
                        transaction.replace(record.withUpper(new Upper(
                                upper.role(), upper.pool(), "another-boot", upper.superblock(), upper.generation())));
                        return 1;
                    });
                }
            }
        }
    }

    @Test
    void a_record_without_a_directory_is_poisoned() throws Exception {
        Path merged = container("default/1/c");
        long id = idOf("default/1/c");
        fixture.stop();
        Mounting.detach(merged);
        Files.move(fixture.layout().snapshot(id), directory.resolve("elsewhere"));
        fixture.start();
        assertThat(poison("default/1/c")).isEqualTo("missing");
        fixture.snapshotter().remove("default/1/c");
    }

    @Test
    void directories_and_mounts_without_a_record_go_to_the_trash_and_their_ids_are_not_used_again() throws Exception {
        fixture.stop();
        Path orphan = Files.createDirectory(fixture.layout().snapshot(5_000));
        Path target = Files.createDirectories(orphan.resolve("merged"));
        Mounting.bind(fixture.layout().empty(), target, true);
        fixture.start();
        assertThat(orphan).doesNotExist();
        assertThat(mountsAt(target)).isZero();
        container("default/1/c");
        assertThat(idOf("default/1/c")).isGreaterThan(5_000);
        await().atMost(BOUND).until(() -> {
            try (var trash = Files.list(fixture.layout().trash())) {
                return trash.findAny().isEmpty();
            }
        });
    }

    @Test
    void one_bad_snapshot_does_not_stop_the_start() throws Exception {
        Path bad = container("default/1/bad");
        Path good = container("default/2/good");
        fixture.stop();
        Mounting.detach(bad);
        Mounting.detach(good);
        Files.delete(bad);
        Files.writeString(bad, "nothing can be mounted here");
        fixture.start();
        assertThat(poison("default/1/bad")).isEqualTo("unverifiable");
        assertThat(poison("default/2/good")).isEmpty();
        assertThat(good.resolve("file")).hasContent("from below");
        fixture.snapshotter().remove("default/1/bad");
    }

    @Test
    void what_is_immutable_is_thrown_away_and_deleted_all_the_same() throws Exception {
        Path merged = container("default/1/c");
        long id = idOf("default/1/c");
        Files.writeString(merged.resolve("locked"), "by the container");
        fixture.stop();
        Mounting.detach(merged);
        pretendAnotherBoot();
        Path directory = fixture.layout().snapshot(id);
        Command.run("chattr", "+i", fixture.layout().upper(id).resolve("locked").toString());
        Command.run("chattr", "+a", fixture.layout().upper(id).toString());
        Command.run("chattr", "+i", directory.toString());
        try {
            fixture.start();
            assertThat(poison("default/1/c")).isEqualTo("crash");
            assertThat(directory).doesNotExist();
            fixture.snapshotter().cleanup();
            assertThat(fixture.layout().trash()).isEmptyDirectory();
        } finally {
            Command.run("chattr", "-R", "-ia", fixture.layout().root().toString());
        }
    }

    @Test
    void listeners_hear_again_of_what_an_earlier_daemon_has_poisoned() throws Exception {
        container("default/1/c");
        fixture.stop();
        Mounting.detach(fixture.layout().merged(2));
        Mounting.detach(fixture.state().resolve("sentinel").resolve(fixture.device()));
        fixture.start();
        assertThat(fixture.poisonings).extracting(Poisoning::clientKey).containsExactly("c");
        fixture.restart();
        assertThat(fixture.poisonings).extracting(Poisoning::clientKey).containsExactly("c", "c");
    }

    @Test
    void a_start_that_fails_leaves_nothing_open_and_containers_mounted() throws Exception {
        Path merged = container("default/1/c");
        fixture.stop();
        long threads = threadsOfStores();
        Path sentinels = fixture.state().resolve("sentinel");
        Mounting.detach(sentinels.resolve(fixture.device()));
        Path aside = Files.move(sentinels, fixture.state().resolve("aside"));
        Files.createFile(sentinels);
        try {
            assertThatThrownBy(fixture::start)
                    .isInstanceOf(StartException.class)
                    .hasMessageContaining(sentinels.toString());
            assertThat(openBelow(fixture.layout().root(), fixture.state())).isEmpty();
            assertThat(threadsOfStores()).isEqualTo(threads);
            assertThat(mountsAt(merged)).isEqualTo(1);
        } finally {
            Files.delete(sentinels);
            Files.move(aside, sentinels);
            fixture.start();
        }
        assertThat(poison("default/1/c")).isEmpty();
    }

    private static List<Path> openBelow(Path... directories) throws IOException {
        try (Stream<Path> descriptors = Files.list(Path.of("/proc/self/fd"))) {
            return descriptors
                    .map(RecoveryTest::target)
                    .filter(target -> Stream.of(directories).anyMatch(target::startsWith))
                    .toList();
        }
    }

    private static Path target(Path link) {
        try {
            return Files.readSymbolicLink(link);
        } catch (NoSuchFileException e) {
            return link; // closed meanwhile, as the one of the listing is
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static long threadsOfStores() {
        return Thread.getAllStackTraces().keySet().stream()
                .filter(thread -> thread.getName().equals("metadata-maintenance"))
                .count();
    }

    @Test
    void a_second_daemon_on_the_same_root_is_refused() {
        assertThatThrownBy(() -> new RunningSnapshotterFixture(directory))
                .isInstanceOf(StartException.class)
                .hasMessageContaining("another daemon serves root");
    }
}
