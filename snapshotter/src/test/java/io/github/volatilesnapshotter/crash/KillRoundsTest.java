package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import java.nio.file.Path;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Tag("kernel")
@Timeout(600)
final class KillRoundsTest {
    private static final int ROUNDS = Integer.getInteger("crash.rounds", 200);
    private static final long SEED = Long.getLong("crash.seed", System.nanoTime() & 0xffffff);

    @TempDir
    private Path directory;

    @Test
    void nothing_is_lost_and_nothing_is_left_behind_when_the_daemon_is_killed() throws Exception {
        System.out.println("seed " + SEED);
        try (FaultyDisk disk = FaultyDisk.create(Disk.FileSystem.EXT4);
                Peer peer = Peer.ours(disk.root().resolve("root"), directory.resolve("state"))) {
            KillRounds rounds = new KillRounds(peer, new Load.Settings(4, 8, false), SEED);
            try {
                for (int i = 0; i < ROUNDS; i++) {
                    rounds.run();
                }
            } finally {
                System.out.println(rounds.summary());
                rounds.violations().forEach(System.out::println);
                peer.kill();
                Traces.unmountBelow(directory);
            }
            assertThat(rounds.violations()).isEmpty();
        }
    }
}
