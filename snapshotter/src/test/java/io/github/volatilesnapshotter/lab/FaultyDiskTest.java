package io.github.volatilesnapshotter.lab;

import static io.github.volatilesnapshotter.lab.Disk.fsync;
import static io.github.volatilesnapshotter.lab.Disk.writeDirty;
import static org.assertj.core.api.Assertions.assertThatCode;

import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import org.junit.jupiter.api.Test;

class FaultyDiskTest extends DiskKit<FaultyDisk> {
    @Override
    FaultyDisk create(FileSystem fileSystem) throws IOException {
        return FaultyDisk.create(fileSystem);
    }

    @Test
    void blocks_that_were_used_once_and_are_free_again_fail_as_well() throws IOException {
        for (int i = 0; i < 64; i++) {
            writeDirty(file("earlier-" + i), FILE_BYTES);
            fsync(file("earlier-" + i));
        }
        for (int i = 0; i < 64; i++) {
            Files.delete(file("earlier-" + i));
        }

        disk.startFailing();
        writeDirty(file("lost"), FILE_BYTES);

        assertFailsForTheDisk(() -> fsync(file("lost")));
    }

    @Test
    void a_file_that_is_overwritten_in_place_is_stored_and_one_that_is_copied_on_write_is_lost() throws IOException {
        writeDirty(file("stored"), FILE_BYTES);
        disk.startFailing();

        Files.write(file("stored"), new byte[FILE_BYTES], StandardOpenOption.WRITE);

        if (fileSystem == FileSystem.BTRFS) {
            assertFailsForTheDisk(() -> fsync(file("stored")));
        } else {
            assertThatCode(() -> fsync(file("stored"))).doesNotThrowAnyException();
        }
    }
}
