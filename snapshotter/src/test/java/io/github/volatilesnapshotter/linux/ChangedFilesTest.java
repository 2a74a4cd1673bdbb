package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A bounded look through a tree for what was changed. */
@Tag("kernel")
class ChangedFilesTest {
    private static final Duration BOUND = Duration.ofSeconds(10);
    private static final int FILES = 40;
    private static final int BYTES = 1_000;
    private static final long ALL = 0;
    private static final ChangedFiles.Search EVERYTHING = new ChangedFiles.Search(ALL, true);
    private static final long MANY = 1_000_000;
    private static final int DIRECTORIES = 6_000;
    private static final int MOST_STEPS = 1_000;
    private static final int MOST_STEPS_PER_DIRECTORY = 10;

    @TempDir
    Path root;

    @BeforeEach
    void write() throws IOException {
        Path directory = Files.createDirectories(root.resolve("d/e"));
        for (int i = 0; i < FILES; i++) {
            Files.write((i % 2 == 0 ? root : directory).resolve("f" + i), new byte[BYTES]);
        }
        Files.createSymbolicLink(root.resolve("link"), Path.of("/dev/null"));
        Files.createFile(root.resolve("empty"));
    }

    @Test
    void finds_each_regular_file_that_has_content() throws SyscallException {
        assertThat(new ChangedFiles(root).startWriteback(EVERYTHING, MANY, later()))
                .isEqualTo(new ChangedFiles.Look(FILES + 4, true, FILES, FILES * BYTES));
    }

    @Test
    void leaves_alone_what_was_changed_before() throws Exception {
        long later = Stat.of(root.resolve("f2")).changedNanos() + TimeUnit.HOURS.toNanos(1);
        ChangedFiles files = new ChangedFiles(root);
        assertThat(look(files, later, true)).isZero();
        long last = Stat.of(root.resolve("d/e/f" + (FILES - 1))).changedNanos();
        assertThat(look(files, last, true)).isBetween(1L, (long) FILES);
    }

    @Test
    void ends_at_its_bound_and_goes_on_there() throws SyscallException {
        ChangedFiles files = new ChangedFiles(root);
        ChangedFiles.Look first = files.startWriteback(EVERYTHING, 10, later());
        assertThat(first.isWhole()).isFalse();
        assertThat(first.entries()).isEqualTo(10);
        assertThat(files.isAtBegin()).isFalse();
        ChangedFiles.Look rest = files.startWriteback(EVERYTHING, MANY, later());
        assertThat(rest.isWhole()).isTrue();
        assertThat(rest.entries()).isEqualTo(FILES + 4 - 10);
        assertThat(first.files() + rest.files()).isEqualTo(FILES);
        assertThat(files.isAtBegin()).isTrue();
    }

    @Test
    void after_its_deadline_it_makes_one_step_and_so_comes_to_the_end() throws SyscallException {
        ChangedFiles files = new ChangedFiles(root);
        int steps = 0;
        long found = 0;
        ChangedFiles.Look look;
        do {
            look = files.startWriteback(EVERYTHING, MANY, System.nanoTime() - 1);
            assertThat(look.entries()).isLessThanOrEqualTo(1);
            found += look.files();
            steps++;
        } while (!look.isWhole() && steps < MOST_STEPS);
        assertThat(found).isEqualTo(FILES);
    }

    /** Passing over what was seen before took longer and longer, and from some 4,000 directories on all of a turn. */
    @Test
    void a_tree_of_many_directories_is_looked_through_in_turns_that_see_no_entry_twice() throws Exception {
        Path many = Files.createDirectories(root.resolve("d/many"));
        for (int i = 0; i < DIRECTORIES; i++) {
            Files.write(Files.createDirectory(many.resolve("n" + i)).resolve("f"), new byte[1]);
        }
        ChangedFiles files = new ChangedFiles(root);
        long turns = 0;
        long entries = 0;
        long found = 0;
        ChangedFiles.Look look;
        do {
            look = files.startWriteback(EVERYTHING, 500, System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(10));
            assertThat(look.entries()).isLessThanOrEqualTo(500);
            entries += look.entries();
            found += look.files();
            turns++;
        } while (!look.isWhole() && turns < DIRECTORIES * MOST_STEPS_PER_DIRECTORY);
        assertThat(found).isEqualTo(FILES + DIRECTORIES);
        assertThat(entries).isEqualTo(FILES + 4 + 1 + 2 * DIRECTORIES);
    }

    @Test
    void what_is_moved_away_between_two_looks_costs_only_itself() throws Exception {
        Path here = Files.createDirectories(root.resolve("d/e/here"));
        for (int i = 0; i < FILES; i++) {
            Files.write(here.resolve("g" + i), new byte[1]);
        }
        ChangedFiles files = new ChangedFiles(root);
        long bytes = 0;
        while (bytes != 1) {
            bytes = files.startWriteback(EVERYTHING, 1, later()).bytes();
        }
        Files.move(here, root.resolveSibling(root.getFileName() + ".away"));

        ChangedFiles.Look rest = files.startWriteback(EVERYTHING, MANY, later());

        assertThat(rest.isWhole()).isTrue();
        assertThat(rest.bytes()).as("of others only").isEqualTo(rest.files() * BYTES);
        DirectoryTree.delete(root.resolveSibling(root.getFileName() + ".away"));
    }

    @Test
    void between_two_looks_no_descriptor_is_held_however_deep_the_place() throws Exception {
        Path deep = root;
        for (int depth = 0; depth < 3 * TreeWalk.MOST_OPEN; depth++) {
            deep = Files.createDirectory(deep.resolve("deep"));
        }
        Files.write(deep.resolve("f"), new byte[1]);
        int before = KernelAssertions.openDescriptors();
        ChangedFiles files = new ChangedFiles(root);
        long found = 0;
        ChangedFiles.Look look;
        do {
            look = files.startWriteback(EVERYTHING, 20, later());
            found += look.files();
            KernelAssertions.assertNoDescriptorLeft(before);
        } while (!look.isWhole());
        assertThat(found).isEqualTo(FILES + 1);
    }

    /** Nothing is made there any more, and nobody writes: a stat for each of many files would be most of a look. */
    @Test
    void a_quick_look_passes_over_the_files_of_directories_in_which_nothing_happens() throws Exception {
        Path slow = Files.write(Files.createDirectory(root.resolve("slow")).resolve("f"), new byte[BYTES]);
        ChangedFiles files = new ChangedFiles(root);
        long full = nextTick();
        assertThat(look(files, ALL, true)).isEqualTo(FILES + 1);

        // From now on all directories are older than what is looked for.
        append(slow);
        long since = nextTick();
        assertThat(look(files, full, false)).as("the look before has found it").isEqualTo(1);
        assertThat(look(files, since, false)).as("it rests").isZero();
        append(slow);
        long later = nextTick();
        assertThat(look(files, since, false)).as("passed over").isZero();
        assertThat(look(files, later, false)).as("passed over").isZero();
        assertThat(look(files, full, true)).as("since the last full look").isEqualTo(1);

        append(slow);
        assertThat(look(files, later, false)).as("the look before has found it").isEqualTo(1);
        assertThat(look(files, nextTick(), false)).as("it rests").isZero();
        long made = nextTick();
        Files.createFile(slow.resolveSibling("made"));
        append(slow);
        assertThat(look(files, made, false)).as("the directory was changed").isEqualTo(1);
    }

    /** As an applier that waits for its stream leaves it. */
    @Test
    void a_quick_look_goes_back_to_a_file_that_was_still_empty() throws Exception {
        ChangedFiles files = new ChangedFiles(root);
        assertThat(look(files, ALL, true)).isEqualTo(FILES);
        assertThat(look(files, nextTick(), false)).isZero();
        long since = nextTick();
        Path slow = Files.createFile(root.resolve("d/slow"));
        assertThat(look(files, since, false)).isZero();

        since = nextTick();
        append(slow);

        assertThat(look(files, since, false)).isEqualTo(1);
    }

    private static long look(ChangedFiles files, long sinceNanos, boolean isFull) throws SyscallException {
        ChangedFiles.Look look = files.startWriteback(new ChangedFiles.Search(sinceNanos, isFull), MANY, later());
        assertThat(look.isWhole()).isTrue();
        return look.files();
    }

    private static void append(Path file) throws IOException {
        Files.write(file, new byte[BYTES], StandardOpenOption.APPEND);
    }

    /** What is changed from now on has a ctime from this on, and what was changed before an earlier one. */
    private long nextTick() throws Exception {
        Path probe = Files.createTempFile("clock", "");
        try {
            long last = Stat.of(probe).changedNanos();
            await().atMost(BOUND).pollInterval(Duration.ofMillis(1)).until(() -> {
                Files.write(probe, new byte[1]);
                return Stat.of(probe).changedNanos() > last;
            });
            return Stat.of(probe).changedNanos();
        } finally {
            Files.delete(probe);
        }
    }

    private static long later() {
        return System.nanoTime() + TimeUnit.MINUTES.toNanos(1);
    }
}
