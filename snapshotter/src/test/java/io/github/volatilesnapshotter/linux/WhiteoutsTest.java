package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Command;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What goes with a whiteout that hides nothing, and what stays, also if the process dies on the way. */
@Tag("kernel")
class WhiteoutsTest {
    private static final List<String> DIRECTORIES = List.of(".", "a", "a/b", "a/not \u00e4 line\n");

    /** Ends the work where a kill would: nothing that would come after is done. */
    private static final class Killed extends RuntimeException {
        private static final long serialVersionUID = 1;
    }

    @TempDir
    Path directory;

    private Path upper;
    private Path note;

    @BeforeEach
    void make() throws IOException {
        upper = Files.createDirectory(directory.resolve("fs"));
        note = directory.resolve("times");
        for (String name : DIRECTORIES) {
            Path made = Files.createDirectories(upper.resolve(name));
            Command.run("mknod", made.resolve("hidden").toString(), "c", "0", "0");
            Command.run("mknod", made.resolve("hidden too").toString(), "c", "0", "0");
            Files.writeString(made.resolve("file"), "x");
        }
        for (String name : DIRECTORIES.reversed()) {
            Command.run(
                    "touch",
                    "-d",
                    "2001-02-03 04:05:06.123456789",
                    upper.resolve(name).toString());
        }
    }

    @Test
    void the_times_of_directories_stay() throws IOException {
        Map<String, Stat.Time> before = times();
        assertThat(remove(() -> {})).isEqualTo(2 * DIRECTORIES.size());
        assertThat(times()).isEqualTo(before);
        assertThat(note).doesNotExist();
    }

    @Test
    void a_try_after_one_that_was_killed_restores_the_times_that_were() throws IOException {
        Map<String, Stat.Time> before = times();
        int kills = 0;
        int removed = 0;
        while (true) {
            try {
                removed += remove(() -> {
                    throw new Killed();
                });
                break;
            } catch (Killed e) {
                kills++;
                assertThat(times()).isNotEqualTo(before);
                assertThat(note).isNotEmptyFile();
            }
        }
        assertThat(kills).isEqualTo(2 * DIRECTORIES.size());
        assertThat(removed).isZero();
        assertThat(times()).isEqualTo(before);
        assertThat(note).doesNotExist();
    }

    @Test
    void a_note_that_a_kill_has_cut_is_read_as_far_as_it_goes() throws IOException {
        Map<String, Stat.Time> before = times();
        assertThatThrownBy(() -> remove(() -> {
                    throw new Killed();
                }))
                .isInstanceOf(Killed.class);
        try (Fd cut = Fd.openAppend(note)) {
            cut.write(new byte[] {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 9, '/'});
        }
        assertThat(remove(() -> {})).isEqualTo(2 * DIRECTORIES.size() - 1);
        assertThat(times()).isEqualTo(before);
    }

    @Test
    void without_an_idle_whiteout_nothing_is_noted() throws IOException {
        Path below = Files.createDirectory(directory.resolve("below"));
        for (String name : DIRECTORIES) {
            Files.createDirectories(below.resolve(name));
        }
        // Would refuse to be written.
        Files.createDirectory(note);
        assertThatThrownBy(() -> remove(() -> {})).isInstanceOf(SyscallException.class);
        Files.delete(note);
        assertThat(Whiteouts.removeIdle(upper, List.of(below), note, () -> {
                    throw new Killed();
                }))
                .isZero();
        assertThat(note).doesNotExist();
    }

    private int remove(Runnable removed) throws SyscallException {
        return Whiteouts.removeIdle(upper, List.of(), note, removed);
    }

    private Map<String, Stat.Time> times() throws IOException {
        return DIRECTORIES.stream().collect(Collectors.toMap(name -> name, name -> {
            try {
                return Stat.of(upper.resolve(name)).modified();
            } catch (SyscallException e) {
                throw new AssertionError(e);
            }
        }));
    }
}
