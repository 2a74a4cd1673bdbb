package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a comparison of trees finds, and what it forgives. */
class TreeTest {
    private static final String DIRECTORY = "40755 0:0";
    private static final String FILE = "100644 0:0 size 1";
    private static final String WHITEOUT = "20000 0:0 device 0";

    @TempDir
    Path root;

    private static Tree tree(String... namesAndEntries) {
        Map<String, String> entries = new TreeMap<>();
        for (int i = 0; i < namesAndEntries.length; i += 2) {
            entries.put(namesAndEntries[i], namesAndEntries[i + 1]);
        }
        return new Tree(new TreeMap<>(entries));
    }

    @Test
    void a_time_that_differs_by_a_nanosecond_is_a_difference() throws Exception {
        Path file = Files.writeString(Files.createDirectory(root.resolve("d")).resolve("file"), "x");
        Instant time = Instant.ofEpochSecond(1_000_000_000, 123_456_789);
        Files.setLastModifiedTime(file, FileTime.from(time));
        Tree before = Tree.of(root);
        assertThat(before.differencesTo(Tree.of(root))).isEmpty();
        Files.setLastModifiedTime(file, FileTime.from(time.plusNanos(1)));
        assertThat(before.differencesTo(Tree.of(root))).contains("d/file was").contains("40.123456790Z");
    }

    @Test
    void where_a_commit_was_killed_while_it_removed_whiteouts_the_times_that_it_has_noted_count() throws Exception {
        Path upper = Files.createDirectory(root.resolve("fs"));
        Path directory = Files.createDirectory(upper.resolve("d"));
        byte[] path = "/d".getBytes(StandardCharsets.UTF_8);
        Files.write(
                root.resolve("times"),
                ByteBuffer.allocate(18)
                        .putLong(1_000_000_000)
                        .putInt(5)
                        .putInt(path.length)
                        .put(path)
                        .array());
        Tree expected = Tree.ofActive(upper);
        assertThat(expected.differencesTo(Tree.of(upper))).startsWith("d was").contains("40.000000005Z, is");
        Files.setLastModifiedTime(directory, FileTime.from(Instant.ofEpochSecond(1_000_000_000, 5)));
        assertThat(expected.differencesTo(Tree.of(upper))).isEmpty();
    }

    @Test
    void a_directory_that_was_written_into_since_is_a_difference() throws Exception {
        Files.setLastModifiedTime(root, FileTime.from(Instant.EPOCH));
        Tree before = Tree.of(root);
        Path file = Files.createFile(root.resolve("file"));
        Files.delete(file);
        assertThat(before.differencesTo(Tree.of(root))).startsWith(". was");
    }

    @Test
    void a_whiteout_that_hides_nothing_may_be_missing_after_a_commit_and_only_then() {
        Tree before = tree("w", WHITEOUT);
        assertThat(before.differencesAfterCommit(tree(), List.of())).isEmpty();
        assertThat(before.differencesAfterCommit(tree(), List.of(tree("other", FILE))))
                .isEmpty();
        assertThat(before.differencesTo(tree())).startsWith("w is missing");
    }

    @Test
    void a_whiteout_that_hides_something_of_any_layer_below_must_stay() {
        Tree before = tree("d", DIRECTORY, "d/w", WHITEOUT);
        Tree after = tree("d", DIRECTORY);
        Tree lowest = tree("d", DIRECTORY, "d/w", FILE);
        assertThat(before.differencesAfterCommit(after, List.of(lowest))).startsWith("d/w is missing");
        assertThat(before.differencesAfterCommit(after, List.of(tree("x", FILE), lowest)))
                .startsWith("d/w is missing");
    }

    @Test
    void what_a_layer_between_has_taken_away_is_hidden_already() {
        Tree before = tree("d", DIRECTORY, "d/w", WHITEOUT);
        Tree after = tree("d", DIRECTORY);
        Tree lowest = tree("d", DIRECTORY, "d/w", FILE);
        String opaque = DIRECTORY + " trusted.overlay.opaque=79";
        for (Tree between : List.of(
                tree("d", DIRECTORY, "d/w", WHITEOUT), tree("d", WHITEOUT), tree("d", FILE), tree("d", opaque))) {
            assertThat(before.differencesAfterCommit(after, List.of(between, lowest)))
                    .as(between.entries().toString())
                    .isEmpty();
        }
        assertThat(tree("d", opaque, "d/w", WHITEOUT).differencesAfterCommit(tree("d", opaque), List.of(lowest)))
                .isEmpty();
    }
}
