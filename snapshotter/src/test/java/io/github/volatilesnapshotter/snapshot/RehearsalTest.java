package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RehearsalTest {
    @TempDir
    private Path directory;

    @Test
    void a_rehearsal_succeeds_and_leaves_nothing_even_after_one_that_was_killed() throws Exception {
        Path file = directory.resolve("rehearsal.db");
        Files.writeString(file, "half of a database");

        new Rehearsal(file, new Machine("boot", "7:1"), () -> {}).poisonSome();

        try (Stream<Path> left = Files.list(directory)) {
            assertThat(left).isEmpty();
        }
    }
}
