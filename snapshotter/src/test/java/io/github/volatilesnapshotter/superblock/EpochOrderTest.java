package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.OverlayLayers;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** An error is marked as seen only after everybody was asked and what was found is recorded. */
@Tag("kernel")
class EpochOrderTest {
    private static final Duration BOUND = Duration.ofSeconds(20);
    private static final int BYTES = 1 << 20;

    @TempDir
    Path state;

    /** Whoever has overlays and records: notes what it is told, and whether the kernel's error was unseen then. */
    private static final class Records implements SuperblockListener {
        private final Disk disk;
        private final List<String> told = new CopyOnWriteArrayList<>();
        private volatile boolean isRefusing;

        Records(Disk disk) {
            this.disk = disk;
        }

        @Override
        public void begun(ErrorEpoch epoch) {
            told.add("begun");
        }

        @Override
        public boolean look(ErrorEpoch epoch) {
            told.add((isUnseen(disk) ? "asked, unseen" : "asked, seen")
                    + (isRefusing ? ", not recorded" : ", recorded"));
            return !isRefusing;
        }

        @Override
        public void storesData() {
            told.add("stores data");
        }

        @Override
        public void cleared(ErrorEpoch epoch) {
            told.add("cleared");
        }

        @Override
        public void damaged(List<FailedWriteback> failures) {}

        @Override
        public void gone(Failure failure) {
            told.add("gone");
        }

        @Override
        public void changed(Transition transition) {}
    }

    /** Asked of the kernel by a volatile mount of the test's own, which consumes nothing. */
    private static boolean isUnseen(Disk disk) {
        try {
            Path directory = Files.createTempDirectory(disk.root(), "asking");
            Path upper = Files.createDirectory(directory.resolve("upper"));
            Path work = Files.createDirectory(directory.resolve("work"));
            Path lower = Files.createDirectory(directory.resolve("lower"));
            Path merged = Files.createDirectory(directory.resolve("merged"));
            OverlayMounter.forKernel(KernelRelease.current())
                    .mount(new OverlayLayers(List.of(lower), upper, work), true, merged);
            VolatileOverlay.detach(merged);
            return false;
        } catch (SyscallException e) {
            assertThat(e.errno()).isEqualTo(Errno.EIO);
            return true;
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private WatchedSuperblock start(FuseDisk disk, Metrics metrics, Records records) throws Exception {
        WatchedSuperblock superblock = WatchedSuperblock.of(
                Files.createDirectory(disk.root().resolve("pool")),
                Files.createDirectory(disk.root().resolve("empty")),
                state,
                OverlayMounter.forKernel(KernelRelease.current()),
                new WatchSettings(1_000, 60_000, 10_000),
                metrics);
        superblock.setListener(records);
        superblock.start(true);
        return superblock;
    }

    private static void loseWrite(FuseDisk disk) throws IOException {
        Path file = disk.root().resolve("lost");
        Disk.writeDirty(file, BYTES);
        disk.fail(Blocks.DATA);
        assertThatThrownBy(() -> Disk.fsync(file)).isInstanceOf(IOException.class);
        disk.heal();
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void all_are_asked_before_the_error_is_marked_as_seen_and_again_after(Disk.FileSystem fileSystem) throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                Metrics metrics = new Metrics()) {
            Records records = new Records(disk);
            WatchedSuperblock superblock = start(disk, metrics, records);
            try {
                loseWrite(disk);
                superblock.ask();
                await().atMost(BOUND).until(() -> records.told.contains("cleared"));

                assertThat(records.told)
                        .containsExactly(
                                "begun",
                                "asked, unseen, recorded", // by whoever noticed it
                                "asked, unseen, recorded", // before it is cleared
                                "asked, seen, recorded",
                                "cleared");
            } finally {
                superblock.closeAndUnmount();
            }
        }
    }

    @ParameterizedTest
    @EnumSource(Disk.FileSystem.class)
    void while_records_are_refused_the_error_stays_unseen_and_once_they_are_accepted_it_is_cleared(
            Disk.FileSystem fileSystem) throws Exception {
        try (FuseDisk disk = FuseDisk.create(fileSystem);
                Metrics metrics = new Metrics()) {
            Records records = new Records(disk);
            records.isRefusing = true;
            WatchedSuperblock superblock = start(disk, metrics, records);
            try {
                loseWrite(disk);
                long attempts = 3;
                await().atMost(BOUND).until(() -> {
                    superblock.look();
                    return records.told.stream().filter("stores data"::equals).count() >= attempts;
                });

                assertThat(superblock.state()).as("the disk stores data").isEqualTo(State.ERRORING);
                assertThat(isUnseen(disk)).isTrue();
                assertThat(records.told).containsOnly("begun", "asked, unseen, not recorded", "stores data");
                assertThat(records.told).filteredOn("begun"::equals).hasSize(1);
                assertThat(metrics.prometheusText()).contains("unseen_errors_cleared_total 0.0");
                records.isRefusing = false;

                await().atMost(BOUND).until(() -> {
                    superblock.look();
                    return superblock.state() == State.HEALTHY;
                });
                assertThat(records.told)
                        .endsWith("asked, seen, recorded", "cleared")
                        .doesNotContain("asked, seen, not recorded");
                assertThat(isUnseen(disk)).isFalse();
                assertThat(metrics.prometheusText()).contains("unseen_errors_cleared_total 1.0");
            } finally {
                superblock.closeAndUnmount();
            }
        }
    }
}
