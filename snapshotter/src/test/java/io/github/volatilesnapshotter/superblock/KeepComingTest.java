package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.OverlayLayers;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Errors that come as fast as they are cleared: whoever needs the disk is refused, with device and errno. */
@Tag("kernel")
class KeepComingTest {
    private static final int BYTES = 4096;

    @TempDir
    Path state;

    private final LosingListener listener = new LosingListener();
    private FuseDisk disk;
    private Metrics metrics;
    private WatchedSuperblock superblock;

    /** Loses another write as soon as a new sentinel stands, before whoever waits for it goes on. */
    private final class LosingListener implements SuperblockListener {
        private volatile boolean isLosing = true;

        @Override
        public void begun(ErrorEpoch epoch) {}

        @Override
        public boolean look(ErrorEpoch epoch) {
            return true;
        }

        @Override
        public void cleared(ErrorEpoch epoch) {
            if (isLosing) {
                loseWrite();
            }
        }

        @Override
        public void damaged(List<FailedWriteback> failures) {}

        @Override
        public void storesData() {}

        @Override
        public void gone(Failure failure) {}

        @Override
        public void changed(Transition transition) {}
    }

    @BeforeEach
    void start() throws Exception {
        disk = FuseDisk.create(Disk.FileSystem.EXT4);
        metrics = new Metrics();
        superblock = WatchedSuperblock.of(
                Files.createDirectory(disk.root().resolve("pool")),
                Files.createDirectory(disk.root().resolve("empty")),
                state,
                OverlayMounter.forKernel(KernelRelease.current()),
                new WatchSettings(1_000, 60_000, 10_000),
                metrics);
        superblock.setListener(listener);
        superblock.start(true);
    }

    @AfterEach
    void stop() throws Exception {
        try (FuseDisk closing = disk;
                Metrics _ = metrics) {
            listener.isLosing = false;
            closing.heal();
            superblock.closeAndUnmount();
        }
    }

    private void loseWrite() {
        try {
            Path file = disk.root().resolve("lost-" + System.nanoTime());
            Disk.writeDirty(file, BYTES);
            disk.fail(Blocks.DATA);
            assertThatThrownBy(() -> Disk.fsync(file)).isInstanceOf(IOException.class);
            disk.heal();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private void refused(String message, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(SuperblockUnavailableException.class, e -> {
                    assertThat(e.errno()).isEqualTo(Errno.EIO);
                    assertThat(e.device()).isEqualTo(superblock.device());
                })
                .hasMessageContaining(message)
                .hasMessageContaining("device " + disk.number())
                .hasMessageContaining("EIO");
    }

    private OverlayLayers layers() throws IOException {
        Path upper = Files.createDirectory(disk.root().resolve("upper"));
        Path work = Files.createDirectory(disk.root().resolve("work"));
        return new OverlayLayers(List.of(disk.root().resolve("empty")), upper, work);
    }

    @Test
    void a_witness_is_refused_after_three_tries() throws Exception {
        loseWrite();

        refused("keep coming", superblock::openWitness);
        listener.isLosing = false;
        superblock.openWitness().close();
    }

    @Test
    void a_volatile_mount_is_refused_after_three_tries() throws Exception {
        OverlayLayers layers = layers();
        Path target = Files.createDirectory(disk.root().resolve("merged"));
        loseWrite();

        refused("volatile mount refused 3 times", () -> superblock.mountVolatile(layers, target));
        listener.isLosing = false;
        superblock.mountVolatile(layers, target).detach();
    }
}
