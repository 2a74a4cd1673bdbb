package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What a superblock knows of errors since a witness was opened, while nobody watches: only who asks finds out. */
@Tag("kernel")
class ErrorSinceTest {
    private static final int BYTES = 1 << 20;

    @TempDir
    Path state;

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_error_of_any_file_is_told_for_ever_to_those_before_it_and_never_to_those_after(Disk.FileSystem fileSystem)
            throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                Metrics metrics = new Metrics()) {
            WatchedSuperblock superblock = start(disk, metrics);
            try (Witness before = superblock.openWitness()) {
                assertThat(superblock.errorSince(before)).isEmpty();
                loseWrite(disk, "foreign");

                assertThat(superblock.errorSince(before)).contains(Errno.EIO);
                disk.heal();
                await().atMost(Duration.ofSeconds(20)).until(() -> {
                    superblock.look();
                    return superblock.state() == State.HEALTHY;
                });
                assertThat(superblock.errorSince(before)).as("cleared").contains(Errno.EIO);
                try (Witness after = superblock.openWitness()) {
                    assertThat(superblock.errorSince(after)).isEmpty();
                }
            } finally {
                superblock.closeAndUnmount();
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void an_error_that_somebody_else_has_consumed_is_told(Disk.FileSystem fileSystem) throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                Metrics metrics = new Metrics()) {
            WatchedSuperblock superblock = start(disk, metrics);
            try (Witness before = superblock.openWitness()) {
                loseWrite(disk, "foreign");
                assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);
                disk.heal();

                assertThat(superblock.errorSince(before)).contains(Errno.EIO);
            } finally {
                superblock.closeAndUnmount();
            }
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = Disk.FileSystem.class,
            names = {"EXT4"})
    void after_a_stop_nobody_knows(Disk.FileSystem fileSystem) throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                Metrics metrics = new Metrics()) {
            WatchedSuperblock superblock = start(disk, metrics);
            try (Witness before = superblock.openWitness()) {
                superblock.close();

                assertThatThrownBy(() -> superblock.errorSince(before))
                        .isInstanceOf(SuperblockUnavailableException.class)
                        .hasMessageContaining("is not watched any more");
            } finally {
                superblock.closeAndUnmount();
            }
        }
    }

    private WatchedSuperblock start(Disk disk, Metrics metrics) throws Exception {
        Path pool = Files.createDirectory(disk.root().resolve("pool"));
        Path lower = Files.createDirectory(disk.root().resolve("empty"));
        WatchedSuperblock superblock = WatchedSuperblock.of(
                pool,
                lower,
                state,
                OverlayMounter.forKernel(KernelRelease.current()),
                new WatchSettings(1_000, 60_000, 10_000),
                metrics);
        superblock.start(true);
        return superblock;
    }

    private static void loseWrite(FuseDisk disk, String name) throws IOException {
        Path file = disk.root().resolve(name);
        Disk.writeDirty(file, BYTES);
        disk.fail(Blocks.DATA);
        assertThatThrownBy(() -> Disk.fsync(file)).isInstanceOf(IOException.class);
    }
}
