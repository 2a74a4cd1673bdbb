package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertNoDescriptorLeft;
import static io.github.volatilesnapshotter.linux.KernelAssertions.openDescriptors;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Tag("kernel")
class FileSystemErrorsTest {
    private static final int BOUND_MILLIS = 20_000;

    @Test
    void an_error_that_ext4_finds_in_itself_is_reported_and_counted() throws IOException {
        try (FaultyDisk disk = FaultyDisk.create(Disk.FileSystem.EXT4);
                FaultyDisk neighbour = FaultyDisk.create(Disk.FileSystem.EXT4);
                FileSystemErrors errors = FileSystemErrors.of(disk.root()).orElseThrow();
                FileSystemErrors ofNeighbour =
                        FileSystemErrors.of(neighbour.root()).orElseThrow()) {
            Device device = Device.parse(disk.number());
            assertThat(Ext4Errors.count(device)).hasValue(0);
            assertThat(Poll.awaitReadable(List.of(errors.fd()), 0)).isEmpty();
            assertThat(errors.read()).isEmpty();

            findAnError(disk);

            assertThat(Poll.awaitReadable(List.of(errors.fd()), BOUND_MILLIS)).containsExactly(errors.fd());
            // ext4 calls an error of no kind of its own a corruption.
            assertThat(errors.read()).containsExactly(new FileSystemErrors.Event(Errno.EUCLEAN, 1));
            assertThat(errors.read()).isEmpty();
            assertThat(ofNeighbour.read()).isEmpty();
            // Counted by a worker of the kernel, in its own time.
            await().untilAsserted(() -> assertThat(Ext4Errors.count(device)).hasValue(1));
            assertThat(Ext4Errors.count(Device.parse(neighbour.number()))).hasValue(0);
        }
    }

    @Test
    void errors_that_nobody_has_read_yet_are_one_report_with_a_count() throws IOException {
        try (FaultyDisk disk = FaultyDisk.create(Disk.FileSystem.EXT4);
                FileSystemErrors errors = FileSystemErrors.of(disk.root()).orElseThrow()) {
            findAnError(disk);
            findAnError(disk);

            assertThat(errors.read()).containsExactly(new FileSystemErrors.Event(Errno.EUCLEAN, 2));
        }
    }

    @ParameterizedTest
    @EnumSource
    void a_disk_can_be_unmounted_while_its_errors_are_awaited(Disk.FileSystem fileSystem) throws IOException {
        FaultyDisk disk = FaultyDisk.create(fileSystem);
        Optional<FileSystemErrors> errors;
        try (disk) {
            errors = FileSystemErrors.of(disk.root());
        }

        assertThat(errors).isPresent();
        assertThat(errors.get().read()).isEmpty();
        errors.get().close();
        errors.get().close();
    }

    @Test
    void what_reports_no_errors_is_said_to_report_none() throws IOException {
        assertThat(FileSystemErrors.of(Path.of("/proc/self"))).isEmpty();
        int before = openDescriptors();
        assertThat(FileSystemErrors.of(Path.of("/proc/self"))).isEmpty();
        assertNoDescriptorLeft(before);
        assertThat(Ext4Errors.count(new Device(0, 1))).isEqualTo(OptionalLong.empty());
    }

    private static void findAnError(FaultyDisk disk) throws IOException {
        String name = disk.device().getFileName().toString();
        Files.writeString(Path.of("/sys/fs/ext4", name, "trigger_fs_error"), "an error for a test");
    }
}
