package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A daemon that was killed, whose log of the records is damaged before it starts again on the same boot. */
@Tag("kernel")
@Timeout(180)
final class LostRecordsTest {
    private static final int LAYERS = 8;

    @TempDir
    private Path directory;

    @Test
    void a_damaged_log_is_refused_on_the_boot_that_wrote_it_and_no_layer_is_thrown_away() throws Exception {
        try (Disk disk = FaultyDisk.create(Disk.FileSystem.EXT4);
                Peer peer = Peer.ours(disk.root().resolve("root"), directory.resolve("state"))) {
            try {
                peer.start();
                commitLayers(peer);
                peer.kill();
                byte[] whole = Files.readAllBytes(log(peer));
                assertThat(whole.length).isGreaterThan(20_000);

                assertRefused(peer, whole, log -> Arrays.copyOf(log, log.length / 2), "cut off");
                assertRefused(peer, whole, log -> new byte[0], "emptied");
                assertRefused(peer, whole, LostRecordsTest::zeroed, "a block of zeros");
                assertRefused(peer, whole, LostRecordsTest::flipped, "a flipped bit");

                Files.write(log(peer), whole);
                peer.start();
                assertThat(layers(peer)).as("unharmed").hasSize(LAYERS);
                peer.kill();
                peer.start();
                assertThat(layers(peer)).as("killed again, unharmed").hasSize(LAYERS);
                peer.kill();

                Files.write(log(peer), Arrays.copyOf(whole, whole.length / 2));
                Files.delete(peer.transactionNote());
                peer.start();
                assertThat(layers(peer)).as("accepted by the operator").hasSizeLessThan(LAYERS);
            } finally {
                peer.kill();
                Traces.unmountAllOf(peer);
            }
        }
    }

    private static void commitLayers(Peer peer) {
        try (Client client = peer.connect()) {
            for (int i = 1; i <= LAYERS; i++) {
                String key = "default/" + i + "/extract-" + i;
                client.prepare(key, "", Map.of());
                client.commit("layer " + i, key, "", Map.of());
            }
        }
    }

    private static List<String> layers(Peer peer) {
        try (Client client = peer.connect()) {
            return client.list().stream().map(info -> info.getName()).toList();
        }
    }

    private static Path log(Peer peer) {
        return peer.root().resolve("metadata.db-wal");
    }

    private static byte[] zeroed(byte[] log) {
        Arrays.fill(log, log.length / 2, log.length / 2 + 4096, (byte) 0);
        return log;
    }

    private static byte[] flipped(byte[] log) {
        log[log.length * 2 / 3] ^= 1;
        return log;
    }

    private static void assertRefused(Peer peer, byte[] whole, UnaryOperator<byte[]> damage, String how)
            throws IOException {
        Files.write(log(peer), damage.apply(whole.clone()));
        peer.launch();
        assertThat(peer.awaitServing()).as(how).isFalse();
        assertThat(peer.loggedSinceLaunch())
                .as(how)
                .contains("acknowledged transactions are missing", "volatilectl restore FILE")
                .contains(peer.transactionNote().toString());
        try (var directories = Files.list(peer.snapshots())) {
            assertThat(directories).as(how).hasSize(LAYERS);
        }
    }
}
