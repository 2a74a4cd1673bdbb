package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.crash.Violation.Kind;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Nothing that was acknowledged is lost by a power cut at any moment. More cuts: {@code deploy/power-cuts}, which sets
 * the properties below.
 */
@Tag("kernel")
@Timeout(4 * 3_600)
final class PowerCutTest {
    private static final int CUTS = Integer.getInteger("crash.cuts", 20);
    private static final int CUTS_OF_AUTO = Math.ceilDiv(CUTS, 4);
    private static final int STOCK_CUTS = Integer.getInteger("crash.stock.cuts", 5);
    private static final int CUTS_OF_A_LOAD = 10;
    private static final long SEED = Long.getLong("crash.seed", System.nanoTime() & 0xffffff);
    private static final Load.Settings LOAD = new Load.Settings(4, 25, false);

    @TempDir
    private Path directory;

    /** First, so that it is there whatever ends a test. */
    @BeforeAll
    static void tellTheSeed() {
        System.out.println("power cut: seed " + SEED);
    }

    @ParameterizedTest
    @CsvSource({
        "EXT4, syncfs",
        "EXT4, targeted",
        "EXT4, auto",
        "XFS, syncfs",
        "XFS, targeted",
        "XFS, auto",
        "BTRFS, syncfs",
        "BTRFS, targeted",
        "BTRFS, auto"
    })
    void every_acknowledged_layer_is_whole_and_nothing_is_left_behind(FileSystem fileSystem, String sync)
            throws Exception {
        String layers = "version = 1%n[layers]%nsync = \"%s\"%n".formatted(sync);
        if (sync.equals("targeted")) {
            // So that early writeback meets layers while they are written, which takes some milliseconds here: the sync
            // relies on it.
            layers += "early_writeback_interval_millis = 1%n".formatted();
        }
        Path config = Files.writeString(directory.resolve("config.toml"), layers);
        PowerCuts powerCuts =
                new PowerCuts(fileSystem, Peer.Kind.OURS, LOAD, SEED, directory, "--config", config.toString());

        // It chooses one of the two for each Commit.
        run(powerCuts, sync.equals("auto") ? CUTS_OF_AUTO : CUTS, sync);

        assertThat(powerCuts.violations()).isEmpty();
    }

    /** What it would be without this snapshotter; and that the disk does lose what nobody has flushed. */
    @ParameterizedTest
    @EnumSource(
            value = FileSystem.class,
            names = {"EXT4", "XFS", "BTRFS"})
    void stock_overlayfs_without_sync_leaves_damaged_layers(FileSystem fileSystem) throws Exception {
        PowerCuts powerCuts = new PowerCuts(fileSystem, Peer.Kind.STOCK, LOAD, SEED, directory);

        run(powerCuts, STOCK_CUTS, "without sync");

        assertThat(powerCuts.count(Kind.DAMAGED_LAYER)).isPositive();
    }

    private static void run(PowerCuts powerCuts, int cuts, String sync) throws IOException, InterruptedException {
        try {
            for (int left = cuts; left > 0; left -= CUTS_OF_A_LOAD) {
                powerCuts.run(Math.min(left, CUTS_OF_A_LOAD));
            }
        } finally {
            System.out.println("power cut: seed " + SEED + ", " + sync + ", " + powerCuts.summary());
        }
    }
}
