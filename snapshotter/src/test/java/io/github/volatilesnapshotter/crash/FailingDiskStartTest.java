package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.MountInfo;
import io.github.volatilesnapshotter.snapshot.Labels;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * A start on a disk that takes nothing new, so that not even the records can be written: what is there is served, and what has lost a write
 * is refused, while the containers run on; when the disk has healed all of that is recorded, and new snapshots are made.
 */
@Tag("kernel")
@Timeout(180)
final class FailingDiskStartTest {
    private static final int MEBIBYTE = 1 << 20;
    private static final int MOST_CHANGES = 2_000;
    private static final Duration BOUND = Duration.ofSeconds(30);
    private static final String CONTAINER = "default/1/container";
    private static final String VIEW = "default/2/view";
    private static final String UNPACKED = "default/3/extract-next";
    private static final String LAYER = "layer";

    @TempDir
    private Path directory;

    private List<String> actives = List.of(CONTAINER, UNPACKED);

    /** Where the container writes. */
    private Path container;

    private interface Scene {
        void play(Disk disk, Peer peer) throws Exception;
    }

    /** With a daemon that has made snapshots. */
    private void play(FileSystem fileSystem, Scene scene) throws Exception {
        try (Disk disk = FaultyDisk.create(fileSystem);
                Peer peer = Peer.ours(disk.root().resolve("root"), directory.resolve("state"))) {
            try {
                peer.start();
                makeSnapshots(peer);
                scene.play(disk, peer);
            } finally {
                disk.heal();
                peer.kill();
                Traces.unmountAllOf(peer);
            }
        }
    }

    private void makeSnapshots(Peer peer) throws IOException {
        try (Client client = peer.connect()) {
            Place unpacked = Place.of(client.prepare("default/9/extract-layer", "", Map.of()));
            Disk.writeDirty(unpacked.written().resolve("data"), MEBIBYTE);
            client.commit(LAYER, "default/9/extract-layer", "", Map.of());
            var _ = client.view(VIEW, LAYER, Map.of());
            var _ = client.prepare(UNPACKED, LAYER, Map.of());
            container = Place.of(client.prepare(CONTAINER, LAYER, Map.of())).written();
        }
    }

    private void loseAWrite(Disk disk) throws IOException {
        disk.startFailing();
        Disk.writeDirty(container.resolve("lost"), MEBIBYTE);
        assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);
    }

    /** The log of the records that a stop leaves is empty: the next start needs new blocks for it. */
    private void stopAndLoseAWrite(Disk disk, Peer peer) throws IOException {
        peer.stop();
        loseAWrite(disk);
    }

    @ParameterizedTest
    @EnumSource
    void after_a_daemon_that_could_not_record_any_more(FileSystem fileSystem) throws Exception {
        play(fileSystem, (disk, peer) -> {
            loseAWrite(disk);
            try (Client client = peer.connect()) {
                await().atMost(BOUND).until(() -> isPoisoned(client, CONTAINER));
                assertThatThrownBy(() -> {
                            for (int change = 0; change < MOST_CHANGES; change++) {
                                client.update(LAYER, "label", "x".repeat(1_000) + change);
                            }
                        })
                        .hasMessageContaining("UNAVAILABLE");
            }
            peer.kill();

            start(peer);

            assertServesWhatIsWhole(peer);
            assertRecordsWhenItHasHealed(disk, peer);
        });
    }

    /** Nothing that a start on a failing disk finds is lost with it. */
    @ParameterizedTest
    @EnumSource
    void after_an_error_that_no_daemon_has_seen_and_a_kill_before_that_is_recorded(FileSystem fileSystem)
            throws Exception {
        play(fileSystem, (disk, peer) -> {
            stopAndLoseAWrite(disk, peer);

            start(peer);

            await().atMost(BOUND).until(() -> peer.loggedSinceLaunch().contains("poison holds in memory only"));
            assertServesUntilItHasHealed(disk, peer);
        });
    }

    @ParameterizedTest
    @EnumSource
    void without_a_sentinel(FileSystem fileSystem) throws Exception {
        play(fileSystem, this::startWithoutASentinel);
    }

    /** What is mounted tells itself what it has lost, and nothing else must be recorded. */
    @ParameterizedTest
    @EnumSource
    void without_a_sentinel_and_with_nothing_but_a_mounted_container(FileSystem fileSystem) throws Exception {
        play(fileSystem, (disk, peer) -> {
            try (Client client = peer.connect()) {
                client.remove(UNPACKED);
                actives = List.of(CONTAINER);
            }
            startWithoutASentinel(disk, peer);
        });
    }

    /** A new one would say that all was well. */
    private void startWithoutASentinel(Disk disk, Peer peer) throws IOException {
        stopAndLoseAWrite(disk, peer);
        Traces.unmountBelow(peer.state());

        start(peer);

        assertServesWhatIsWhole(peer);
        assertThat(MountInfo.all())
                .noneMatch(mount -> Path.of(mount.mountPoint()).startsWith(peer.state()));
        assertServesUntilItHasHealed(disk, peer);
    }

    /** Where the kernel has let go of a page of the log that is not on disk, say for another test, an operator accepts the loss. */
    private static void start(Peer peer) throws IOException {
        try {
            peer.start();
        } catch (IOException e) {
            if (!peer.loggedSinceLaunch().contains("acknowledged transactions are missing")) {
                throw e;
            }
            Files.delete(peer.transactionNote());
            peer.start();
        }
    }

    /** Also after one more kill. */
    private void assertServesUntilItHasHealed(Disk disk, Peer peer) throws IOException {
        assertServesWhatIsWhole(peer);
        peer.kill();
        start(peer);
        assertServesWhatIsWhole(peer);
        assertRecordsWhenItHasHealed(disk, peer);
    }

    private static boolean isPoisoned(Client client, String key) {
        return client.stat(key).getLabelsMap().containsKey(Labels.POISONED);
    }

    /** An error of a superblock is everybody's who was there. */
    private void assertServesWhatIsWhole(Peer peer) {
        try (Client client = peer.connect()) {
            assertThat(isPoisoned(client, LAYER)).isFalse();
            assertThat(client.mounts(VIEW)).isNotEmpty();
            for (String active : actives) {
                assertThat(isPoisoned(client, active)).as(active).isTrue();
                assertThatThrownBy(() -> client.mounts(active)).hasMessageContaining("FAILED_PRECONDITION");
            }
        }
    }

    private void assertRecordsWhenItHasHealed(Disk disk, Peer peer) throws IOException {
        try (Client client = peer.connect()) {
            assertThatThrownBy(() -> client.prepare("default/8/new", LAYER, Map.of()))
                    .hasMessageContaining("UNAVAILABLE");

            disk.heal();

            await().atMost(BOUND)
                    .ignoreExceptionsInstanceOf(StatusRuntimeException.class)
                    .untilAsserted(() -> assertThat(
                                    Place.of(client.prepare("default/" + System.nanoTime() + "/c", LAYER, Map.of()))
                                            .isMounted())
                            .isTrue());
        }
        peer.kill();
        peer.start();
        assertServesWhatIsWhole(peer);
        try (Client client = peer.connect()) {
            actives.forEach(client::remove);
        }
    }
}
