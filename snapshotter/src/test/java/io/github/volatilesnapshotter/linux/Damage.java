package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** What happens to a disk of the lab in the tests of facts. The disk is not healed. */
final class Damage {
    private static final int FILE_BYTES = 1 << 20;

    private Damage() {}

    /** Loses the data of a new file at its fsync; no syncfs has seen the error. */
    static void loseData(FuseDisk disk) throws IOException {
        Path file = disk.root().resolve("lost-data");
        Disk.writeDirty(file, FILE_BYTES);
        disk.fail(Blocks.DATA);
        assertThatThrownBy(() -> Disk.fsync(file)).hasMessageContaining("Input/output error");
    }

    /**
     * Loses what the fsync of a new, empty file writes, and nothing else. On ext4 the journal is aborted then, which the filesystem has
     * not noticed yet.
     */
    static void loseMetadata(FuseDisk disk) throws IOException {
        disk.syncfs();
        disk.fail(Blocks.METADATA);
        Path file = Files.createFile(disk.root().resolve("lost-metadata"));
        assertThatThrownBy(() -> Disk.fsync(file)).hasMessageContaining("Input/output error");
    }

    /** FS_IOC_SHUTDOWN, without writing the log. For ext4 and xfs. */
    static void shutDown(Disk disk) throws IOException {
        Command.run("xfs_io", "-x", "-c", "shutdown", disk.root().toString());
    }
}
