package io.github.volatilesnapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class KeptLogTest {
    @TempDir
    private Path directory;

    private Path log;

    @BeforeEach
    void write() throws IOException {
        log = Files.writeString(directory.resolve("metadata.db-wal"), "frames");
    }

    @Test
    void the_file_of_a_log_that_was_removed_is_left_empty_and_is_no_new_one() throws IOException {
        Object inode = Files.getAttribute(log, "unix:ino");
        KeptLog kept = new KeptLog(log);
        assertThat(kept.canBeLost()).isFalse();
        Files.delete(log);

        kept.leaveEmpty();

        assertThat(log).isEmptyFile();
        assertThat(Files.getAttribute(log, "unix:ino")).isEqualTo(inode);
        assertThat(directory).isDirectoryNotContaining("glob:**.kept");
    }

    @Test
    void a_log_that_was_not_removed_stays_as_it_is() throws IOException {
        KeptLog kept = new KeptLog(log);

        kept.leaveEmpty();

        assertThat(log).hasContent("frames");
        assertThat(directory).isDirectoryNotContaining("glob:**.kept");
    }

    @Test
    void what_a_daemon_that_was_killed_has_left_is_replaced() throws IOException {
        Files.writeString(directory.resolve("metadata.db-wal.kept"), "of another time");
        KeptLog kept = new KeptLog(log);
        Files.delete(log);

        kept.leaveEmpty();

        assertThat(log).isEmptyFile();
        assertThat(directory).isDirectoryNotContaining("glob:**.kept");
    }

    @Test
    void where_no_second_name_can_be_given_a_new_log_is_made() throws IOException {
        Files.createDirectory(directory.resolve("metadata.db-wal.kept"));
        Files.createFile(directory.resolve("metadata.db-wal.kept/in-the-way"));
        KeptLog kept = new KeptLog(log);
        assertThat(kept.canBeLost()).as("there is room").isFalse();
        Files.delete(log);

        kept.leaveEmpty();

        assertThat(log).isEmptyFile();
    }
}
