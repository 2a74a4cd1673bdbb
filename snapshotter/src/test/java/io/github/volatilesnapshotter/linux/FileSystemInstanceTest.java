package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Tag("kernel")
class FileSystemInstanceTest {
    @ParameterizedTest
    @EnumSource
    void it_is_another_one_after_an_unmount_and_else_the_same(Disk.FileSystem fileSystem) throws Exception {
        try (FaultyDisk disk = FaultyDisk.create(fileSystem);
                FaultyDisk neighbour = FaultyDisk.create(fileSystem)) {
            String first = instance(disk);
            assertThat(first).isNotEqualTo(FileSystemInstance.UNKNOWN).isEqualTo(instance(disk));
            assertThat(instance(neighbour)).isNotEqualTo(first);

            disk.remount();

            assertThat(instance(disk)).isNotEqualTo(FileSystemInstance.UNKNOWN).isNotEqualTo(first);
        }
    }

    @Test
    void of_what_is_on_no_device_nothing_is_known() throws Exception {
        assertThat(FileSystemInstance.of(MountInfo.containing(Path.of("/proc"))))
                .isEqualTo(FileSystemInstance.UNKNOWN);
    }

    private static String instance(Disk disk) throws SyscallException {
        return FileSystemInstance.of(MountInfo.containing(disk.root()));
    }
}
