package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.OverlayLayers;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.linux.TraceInstance;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a turn of the watch costs while all is well. */
@Tag("kernel")
class QuietTurnTest {
    private static final int TURNS = 20;
    private static final int OVERLAYS = 5;

    /** By its name: its number may be one of a namespace, which the trace does not know. The kernel keeps 15 bytes. */
    private static final String THREAD = "quiet-turn-test";

    @TempDir
    Path directory;

    @Test
    void each_turn_asks_the_sentinel_once_and_no_overlay_however_many_there_are() throws Exception {
        Path pool = Files.createDirectory(directory.resolve("pool"));
        Path lower = Files.createDirectory(directory.resolve("empty"));
        List<VolatileOverlay> overlays = new ArrayList<>();
        try (Metrics metrics = new Metrics()) {
            WatchedSuperblock superblock = WatchedSuperblock.of(
                    pool,
                    lower,
                    Files.createDirectory(directory.resolve("state")),
                    OverlayMounter.forKernel(KernelRelease.current()),
                    new WatchSettings(1_000, 60_000, 10_000),
                    metrics);
            superblock.start(true);
            try (TraceInstance trace =
                    TraceInstance.create("quiet-turn-" + ProcessHandle.current().pid())) {
                for (int number = 0; number < OVERLAYS; number++) {
                    overlays.add(superblock.mountVolatile(layers(lower, number), merged(number)));
                }
                trace.enable("syscalls:sys_enter_fsync", "comm == \"" + THREAD + "\"");
                Thread looking = new Thread(
                        () -> {
                            for (int turn = 0; turn < TURNS; turn++) {
                                superblock.look();
                            }
                        },
                        THREAD);
                looking.start();
                looking.join();

                assertThat(trace.read().lines().filter(line -> line.contains("sys_fsync")))
                        .hasSize(TURNS);
                assertThat(superblock.state()).isEqualTo(State.HEALTHY);
            } finally {
                for (VolatileOverlay overlay : overlays) {
                    overlay.detach();
                }
                superblock.closeAndUnmount();
            }
        }
    }

    private OverlayLayers layers(Path lower, int number) throws Exception {
        Path upper = Files.createDirectory(directory.resolve("upper" + number));
        Path work = Files.createDirectory(directory.resolve("work" + number));
        return new OverlayLayers(List.of(lower), upper, work);
    }

    private Path merged(int number) throws Exception {
        return Files.createDirectory(directory.resolve("merged" + number));
    }
}
