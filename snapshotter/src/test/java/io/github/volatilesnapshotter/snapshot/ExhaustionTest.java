package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ThreadLocalRandom;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A disk that is full, and requests that race: the right answer, and everything as before. */
@Tag("kernel")
class ExhaustionTest {
    @TempDir
    Path directory;

    private RunningSnapshotterFixture fixture;

    @BeforeEach
    void start() throws Exception {
        Command.run("mount", "-t", "tmpfs", "-o", "size=16m,nr_inodes=400", "tmpfs", directory.toString());
        fixture = new RunningSnapshotterFixture(directory);
        fixture.layer("base", "", "file", "from below");
        awaitQuiet();
    }

    /** What follows a start, and a Commit, writes files and deletes some: nothing else shall do that while room is counted. */
    private void awaitQuiet() throws SnapshotException {
        await().until(() -> Thread.getAllStackTraces().keySet().stream()
                .anyMatch(thread -> thread.getName().equals("recovery-after-start")
                        && thread.getState() == Thread.State.TIMED_WAITING));
        fixture.snapshotter().cleanup();
    }

    @AfterEach
    void stop() throws Exception {
        fixture.close();
        Command.run("umount", directory.toString());
    }

    @Test
    void on_a_full_disk_a_prepare_is_unavailable_and_leaves_nothing_behind() throws Exception {
        SnapshotException refused = null;
        for (int i = 0; refused == null && i < 1_000; i++) {
            String key = "default/1/filler-" + i;
            refused = catchThrowableOfType(
                    SnapshotException.class, () -> fixture.snapshotter().prepare(key, "base", Map.of()));
        }
        assertThat(refused).as("400 inodes do not hold a thousand snapshots").isNotNull();
        assertThat(refused.category()).isEqualTo(Category.UNAVAILABLE);
        assertThat(refused).hasMessageContaining("ENOSPC").hasMessageContaining("filler-");

        fixture.snapshotter().cleanup();
        List<String> names = names();
        assertThat(directories()).as("one for each acknowledged snapshot").isEqualTo(names.size());
        fixture.snapshotter().remove(names.getLast());
        fixture.snapshotter().cleanup();
        fixture.snapshotter().prepare("default/1/again", "base", Map.of());
    }

    @Test
    void a_commit_on_a_full_disk_is_unavailable_and_poisons_nothing() throws Exception {
        Path merged = Path.of(fixture.snapshotter()
                .prepare("default/1/c", "base", Map.of())
                .getFirst()
                .source());
        fixture.snapshotter().prepare("default/2/extract-2", "base", Map.of());
        for (int i = 0; i < 400 && hasRoomFor(merged.resolve("filler-" + i)); i++) {}
        for (String key : List.of("default/1/c", "default/2/extract-2")) {
            SnapshotException refused = catchThrowableOfType(
                    SnapshotException.class,
                    () -> fixture.snapshotter().commit("layer", key, "", Map.of(), Cancellation.NEVER));
            assertThat(refused.category()).isEqualTo(Category.UNAVAILABLE);
            assertThat(refused).hasMessageContaining("ENOSPC").hasMessageContaining(key);
            assertThat(fixture.snapshotter().stat(key).labels()).doesNotContainKey(Labels.POISONED);
        }
        assertThat(fixture.poisonings).isEmpty();
        fixture.snapshotter().remove("default/1/c");
        fixture.snapshotter().cleanup();
        fixture.snapshotter().commit("layer", "default/2/extract-2", "", Map.of(), Cancellation.NEVER);
    }

    private static boolean hasRoomFor(Path file) {
        try {
            Files.createFile(file);
            return true;
        } catch (IOException e) {
            return false;
        }
    }

    private List<String> names() throws SnapshotException {
        List<String> names = new ArrayList<>();
        fixture.snapshotter().list(List.of()).forEachRemaining(info -> names.add(info.name()));
        return names;
    }

    private int directories() throws IOException {
        try (var stream = Files.list(fixture.layout().snapshots())) {
            return Math.toIntExact(stream.count());
        }
    }

    @Test
    void of_a_commit_and_a_remove_that_race_one_wins_and_the_other_is_told() throws Exception {
        try (ExecutorService threads = Executors.newFixedThreadPool(3)) {
            for (int round = 0; round < 30; round++) {
                String key = "default/" + round + "/extract-x";
                String name = "layer-" + round;
                fixture.snapshotter().prepare(key, "base", Map.of());
                Future<Boolean> commit = threads.submit(() -> succeeds(
                        () -> fixture.snapshotter().commit(name, key, "", Map.of(), Cancellation.NEVER),
                        Category.NOT_FOUND));
                if (ThreadLocalRandom.current().nextBoolean()) {
                    Thread.onSpinWait();
                }
                Future<Boolean> remove = threads.submit(
                        () -> succeeds(() -> fixture.snapshotter().remove(key), Category.NOT_FOUND));
                assertThat(commit.get()).as("exactly one wins").isNotEqualTo(remove.get());
                if (commit.get()) {
                    fixture.snapshotter().remove(name);
                }
            }
        }
        fixture.snapshotter().cleanup();
        assertThat(names()).containsExactly("base");
        assertThat(directories()).isEqualTo(1);
    }

    private static boolean succeeds(Step step, Category otherwise) throws Exception {
        try {
            step.run();
            return true;
        } catch (SnapshotException e) {
            assertThat(e.category()).isEqualTo(otherwise);
            return false;
        }
    }

    @FunctionalInterface
    private interface Step {
        void run() throws Exception;
    }
}
