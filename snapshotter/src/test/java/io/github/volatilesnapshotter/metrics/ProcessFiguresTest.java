package io.github.volatilesnapshotter.metrics;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProcessFiguresTest {
    @TempDir
    private Path proc;

    @Test
    void figures_are_read_from_the_status_file() throws IOException {
        Files.writeString(proc.resolve("status"), "Name:\tjava\nVmRSS:\t   80000 kB\nThreads:\t17\n");
        Files.createDirectory(proc.resolve("fd"));
        Files.createFile(proc.resolve("fd/0"));
        Files.createFile(proc.resolve("fd/1"));
        ProcessFigures figures = new ProcessFigures(proc);

        assertThat(figures.residentBytes().longValue()).isEqualTo(80_000L * 1024);
        assertThat(figures.threads().intValue()).isEqualTo(17);
        assertThat(figures.openFiles().intValue()).isEqualTo(2);
    }

    @Test
    void what_cannot_be_read_is_no_number() throws IOException {
        ProcessFigures empty = new ProcessFigures(proc);
        assertThat(empty.threads().doubleValue()).isNaN();
        assertThat(empty.openFiles().doubleValue()).isNaN();

        Files.writeString(proc.resolve("status"), "Name:\tjava\n");
        assertThat(empty.residentBytes().doubleValue()).isNaN();
    }

    @Test
    void this_process_has_memory_threads_and_files() {
        ProcessFigures figures = ProcessFigures.ofThisProcess();

        assertThat(figures.residentBytes().doubleValue()).isGreaterThan(1 << 20);
        assertThat(figures.threads().doubleValue()).isGreaterThan(1);
        assertThat(figures.openFiles().doubleValue()).isGreaterThan(3);
    }
}
