package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A bounded look through a tree for what was changed. */
@Tag("kernel")
class ChangedFilesTest {
    private static final int FILES = 40;
    private static final int BYTES = 1_000;
    private static final long ALL = 0;
    private static final long MANY = 1_000_000;

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
        assertThat(look(ALL, 0, MANY)).isEqualTo(new ChangedFiles.Look(FILES + 4, true, FILES, FILES * BYTES));
    }

    @Test
    void leaves_alone_what_was_changed_before() throws Exception {
        long later = Stat.of(root.resolve("f2")).changedNanos() + TimeUnit.HOURS.toNanos(1);
        assertThat(look(later, 0, MANY).files()).isZero();
        long last = Stat.of(root.resolve("d/e/f" + (FILES - 1))).changedNanos();
        assertThat(look(last, 0, MANY).files()).isBetween(1L, (long) FILES);
    }

    @Test
    void ends_at_its_bound_and_goes_on_there() throws SyscallException {
        ChangedFiles.Look first = look(ALL, 0, 10);
        assertThat(first.isWhole()).isFalse();
        assertThat(first.entries()).isEqualTo(10);
        ChangedFiles.Look rest = look(ALL, first.entries(), MANY);
        assertThat(rest.isWhole()).isTrue();
        assertThat(rest.entries()).isEqualTo(FILES + 4);
        assertThat(first.files() + rest.files()).isEqualTo(FILES);
    }

    @Test
    void ends_at_its_deadline() throws SyscallException {
        ChangedFiles.Look look = ChangedFiles.startWriteback(root, ALL, 0, MANY, System.nanoTime() - 1);
        assertThat(look).isEqualTo(new ChangedFiles.Look(0, false, 0, 0));
    }

    private ChangedFiles.Look look(long sinceNanos, long skip, long most) throws SyscallException {
        return ChangedFiles.startWriteback(
                root, sinceNanos, skip, most, System.nanoTime() + TimeUnit.MINUTES.toNanos(1));
    }
}
