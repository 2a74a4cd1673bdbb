package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.linux.KernelRelease;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class StartChecksTest {
    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"/with:colon", "/with,comma", "/with\\backslash", "/with\"quote"})
    void a_root_that_mount_options_cannot_carry_is_refused(String root) {
        assertThatThrownBy(() -> StartChecks.checkPath(Path.of(root)))
                .isInstanceOf(StartException.class)
                .hasMessageContaining(root);
    }

    @Test
    void a_relative_root_is_refused() {
        assertThatThrownBy(() -> StartChecks.checkPath(Path.of("relative"))).hasMessageContaining("absolute");
    }

    @ParameterizedTest
    @ValueSource(strings = {"5.11.22", "4.18.0-553.el8_10.x86_64", "3.10.0"})
    void a_kernel_without_volatile_overlays_that_report_errors_is_refused_by_name(String release) {
        assertThatThrownBy(() -> StartChecks.checkKernel(KernelRelease.parse(release)))
                .isInstanceOf(StartException.class)
                .hasMessageContaining(release)
                .hasMessageContaining("5.12");
    }

    @ParameterizedTest
    @ValueSource(strings = {"5.12.0", "6.1.0-13-amd64", "6.18.44", "10.0"})
    void newer_kernels_are_accepted(String release) {
        assertThatCode(() -> StartChecks.checkKernel(KernelRelease.parse(release)))
                .doesNotThrowAnyException();
    }

    @Test
    @Tag("kernel")
    void a_root_on_a_real_filesystem_is_accepted_and_left_as_it_was() {
        assertThatCode(() -> StartChecks.check(directory)).doesNotThrowAnyException();
        assertThat(directory).isEmptyDirectory();
    }

    @Test
    @Tag("kernel")
    void a_root_on_an_overlay_is_refused() throws Exception {
        Path lower = Files.createDirectory(directory.resolve("lower"));
        Path upper = Files.createDirectory(directory.resolve("upper"));
        Path work = Files.createDirectory(directory.resolve("work"));
        Path merged = Files.createDirectory(directory.resolve("merged"));
        Command.run(
                "mount",
                "-t",
                "overlay",
                "overlay",
                "-o",
                "lowerdir=" + lower + ",upperdir=" + upper + ",workdir=" + work,
                merged.toString());
        try {
            assertThatThrownBy(() -> StartChecks.check(merged))
                    .isInstanceOf(StartException.class)
                    .hasMessageContaining("lies on an overlay");
        } finally {
            Command.run("umount", merged.toString());
        }
    }

    @Test
    @Tag("kernel")
    void a_root_that_is_a_file_is_refused() throws Exception {
        Path file = Files.createFile(directory.resolve("file"));

        assertThatThrownBy(() -> StartChecks.check(file))
                .isInstanceOf(StartException.class)
                .hasMessage("root " + file + " is no directory; give one with --root");
    }

    @Test
    @Tag("kernel")
    void a_root_without_trusted_xattrs_is_refused() throws Exception {
        Command.run("mount", "-t", "ramfs", "ramfs", directory.toString());
        try {
            assertThatThrownBy(() -> StartChecks.check(directory))
                    .isInstanceOf(StartException.class)
                    .hasMessageContaining("trusted.* xattrs");
            assertThat(directory).isEmptyDirectory();
        } finally {
            Command.run("umount", directory.toString());
        }
    }

    @Test
    @Tag("kernel")
    void a_read_only_root_is_refused() throws Exception {
        Command.run("mount", "-t", "tmpfs", "-o", "ro", "tmpfs", directory.toString());
        try {
            assertThatThrownBy(() -> StartChecks.check(directory))
                    .isInstanceOf(StartException.class)
                    .hasMessageContaining("read-only");
        } finally {
            Command.run("umount", directory.toString());
        }
    }
}
