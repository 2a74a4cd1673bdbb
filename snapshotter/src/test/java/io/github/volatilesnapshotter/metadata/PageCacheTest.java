package io.github.volatilesnapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Command;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** On ramfs, which has nothing but the cache: it refuses O_DIRECT with EINVAL, as tmpfs does before Linux 6.6. */
@Tag("kernel")
final class PageCacheTest {
    @TempDir
    private Path directory;

    @BeforeEach
    void mount() throws Exception {
        Command.run("mount", "-t", "ramfs", "ramfs", directory.toString());
    }

    @AfterEach
    void unmount() throws Exception {
        Command.run("umount", "--lazy", directory.toString());
    }

    @Test
    void a_filesystem_that_can_not_be_read_past_the_cache_is_taken_at_its_word() throws Exception {
        Path file = Files.writeString(directory.resolve("file"), "content");
        OpenOption direct = (OpenOption) Class.forName("com.sun.nio.file.ExtendedOpenOption")
                .getField("DIRECT")
                .get(null);
        assertThatThrownBy(() -> FileChannel.open(file, StandardOpenOption.READ, direct))
                .isInstanceOf(FileSystemException.class)
                .hasMessageContaining("Invalid argument");

        assertThat(PageCache.isOnDisk(file)).isTrue();
    }

    @Test
    void what_can_not_be_opened_at_all_is_an_error() {
        assertThatThrownBy(() -> PageCache.isOnDisk(directory.resolve("nothing")))
                .isInstanceOf(NoSuchFileException.class);
    }

    @Test
    void records_on_it_are_opened_again() throws Exception {
        Path database = directory.resolve("metadata.db");
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(database)) {
            assertThat(store.newId()).isPositive();
        }
        try (SqliteSnapshotStore store = SqliteSnapshotStore.open(database)) {
            assertThat(store.all()).isEmpty();
        }
    }
}
