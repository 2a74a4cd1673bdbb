package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;

/** What happens to a disk of the lab in the tests of facts. A {@link FuseDisk} is not healed. */
final class Damage {
    private static final int FILE_BYTES = 1 << 20;
    private static final int MOST_FILES = 64;

    private Damage() {}

    /** Loses the data of a new file at its fsync; no syncfs has seen the error. */
    static void loseData(FuseDisk disk) throws IOException {
        Path file = disk.root().resolve("lost-data");
        Disk.writeDirty(file, FILE_BYTES);
        disk.fail(Blocks.DATA);
        assertThatThrownBy(() -> Disk.fsync(file)).hasMessageContaining("Input/output error");
    }

    /**
     * After this the superblock has an error that no syncfs has seen, and the disk is well. Of ten failing btrfs disks one had room for a file or
     * more, so files are written until one is lost.
     */
    static void loseWrites(FaultyDisk disk) throws IOException {
        disk.startFailing();
        boolean lost = false;
        for (int number = 0; number < MOST_FILES && !lost; number++) {
            lost = isLost(disk.root().resolve("file" + number));
        }
        disk.heal();
        assertThat(lost).as("a write was lost").isTrue();
    }

    private static boolean isLost(Path file) throws IOException {
        byte[] content = new byte[FILE_BYTES];
        new Random(FILE_BYTES).nextBytes(content);
        // One descriptor from the write to the fsync: an inode that is evicted between forgets its error.
        try (Fd descriptor = Fd.create(file, 0600)) {
            descriptor.write(content);
            Sync.fsync(descriptor);
            return false;
        } catch (SyscallException failure) {
            assertThat(failure.operation()).isEqualTo("fsync");
            return true;
        }
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
