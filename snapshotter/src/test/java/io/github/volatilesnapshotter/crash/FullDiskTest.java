package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.github.volatilesnapshotter.snapshot.Labels;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A filesystem that fills up while the daemon runs, and on which it starts again: what is on it can be listed, and removed. */
@Tag("kernel")
@Timeout(180)
final class FullDiskTest {
    private static final int MEBIBYTE = 1 << 20;
    private static final int MOST_CHANGES = 5_000;
    private static final Duration BOUND = Duration.ofSeconds(20);
    private static final String CONTAINER = "default/1/container";
    private static final String LAYER = "layer";

    @TempDir
    private Path directory;

    private interface Scene {
        void play(Disk disk, Peer peer) throws Exception;
    }

    /** With a daemon that has made snapshots. */
    private void play(FileSystem fileSystem, Scene scene) throws Exception {
        try (Disk disk = FuseDisk.create(fileSystem);
                Peer peer = Peer.ours(disk.root().resolve("root"), directory.resolve("state"))) {
            try {
                peer.start();
                makeSnapshots(disk, peer);
                scene.play(disk, peer);
            } finally {
                end(peer);
            }
        }
    }

    @ParameterizedTest
    @EnumSource
    void after_a_stop(FileSystem fileSystem) throws Exception {
        play(fileSystem, (disk, peer) -> {
            List<Path> fillers = fill(disk, peer);
            peer.stop();

            peer.start();

            assertThat(peer.loggedSinceLaunch()).doesNotContain("\"level\":\"error\"");
            assertHealthy(peer);
            assertRemovalsMakeRoom(peer, fillers);
        });
    }

    /** The records were closed: nothing says that they are in use, and their log is to be made. */
    @ParameterizedTest
    @EnumSource
    void filled_while_it_is_stopped(FileSystem fileSystem) throws Exception {
        play(fileSystem, (disk, peer) -> {
            peer.stop();
            List<Path> fillers = disk.fill();

            peer.start();

            assertHealthy(peer);
            assertRemovalsMakeRoom(peer, fillers);
        });
    }

    @ParameterizedTest
    @EnumSource
    void after_a_kill(FileSystem fileSystem) throws Exception {
        play(fileSystem, (disk, peer) -> {
            List<Path> fillers = fill(disk, peer);
            peer.kill();

            peer.start();

            assertHealthy(peer);
            assertRemovalsMakeRoom(peer, fillers);
        });
    }

    /** Between the directory and the record, which is the other order than where there is room. */
    @ParameterizedTest
    @EnumSource
    void after_a_kill_while_a_removal_makes_room(FileSystem fileSystem) throws Exception {
        play(fileSystem, (disk, peer) -> {
            List<Path> fillers = fill(disk, peer);
            peer.arm(CrashPoint.THROWN_AWAY, 1);
            try (Client client = peer.connect()) {
                assertThatThrownBy(() -> client.remove(CONTAINER)).isInstanceOf(StatusRuntimeException.class);
            }
            peer.awaitEnd();
            peer.disarm();

            peer.start();

            try (Client client = peer.connect()) {
                assertThat(client.stat(CONTAINER).getLabelsMap()).containsEntry(Labels.POISONED, "missing");
                assertThatThrownBy(() -> client.mounts(CONTAINER)).hasMessageContaining("FAILED_PRECONDITION");
            }
            peer.arm(CrashPoint.THROWN_AWAY, 1);
            try (Client client = peer.connect()) {
                client.remove(CONTAINER);
                fillRecords(client);
                assertThatThrownBy(() -> client.remove(LAYER)).isInstanceOf(StatusRuntimeException.class);
            }
            peer.awaitEnd();
            peer.disarm();

            peer.start();

            try (Client client = peer.connect()) {
                assertThat(client.stat(LAYER).getLabelsMap()).containsEntry(Labels.POISONED, "missing");
                assertThatThrownBy(() -> client.prepare("default/9/c", LAYER, Map.of()))
                        .hasMessageContaining("stands on layer " + LAYER);
                client.remove(LAYER);
                assertThat(client.list()).isEmpty();
            }
            delete(fillers);
        });
    }

    @ParameterizedTest
    @EnumSource
    void after_another_boot(FileSystem fileSystem) throws Exception {
        Path bootId = Files.writeString(directory.resolve("boot-id"), UUID.randomUUID() + "\n");
        play(fileSystem, (disk, before) -> {
            List<Path> fillers = fill(disk, before);
            end(before);
            try (Peer peer =
                    Peer.ours(before.root(), directory.resolve("state-after")).afterBoot(bootId)) {
                peer.start();

                try (Client client = peer.connect()) {
                    assertThat(client.stat(CONTAINER).getLabelsOrDefault(Labels.POISONED, ""))
                            .isEqualTo("crash");
                }
                assertRemovalsMakeRoom(peer, fillers);
            }
        });
    }

    /** A layer and a container. */
    private static void makeSnapshots(Disk disk, Peer peer) throws IOException {
        try (Client client = peer.connect()) {
            Place unpacked = Place.of(client.prepare("default/2/extract-layer", "", Map.of()));
            Disk.writeDirty(unpacked.written().resolve("data"), MEBIBYTE);
            client.commit(LAYER, "default/2/extract-layer", "", Map.of());
            Place container = Place.of(client.prepare(CONTAINER, LAYER, Map.of()));
            Disk.writeDirty(container.written().resolve("more"), MEBIBYTE);
            disk.syncfs();
        }
    }

    /** Until there is no room for one more change of a label. */
    private static List<Path> fill(Disk disk, Peer peer) throws IOException {
        List<Path> fillers = disk.fill();
        try (Client client = peer.connect()) {
            fillRecords(client);
            return fillers;
        }
    }

    private static void fillRecords(Client client) {
        assertThatThrownBy(() -> {
                    for (int change = 0; change < MOST_CHANGES; change++) {
                        client.update(LAYER, "label", "x".repeat(1_000) + change);
                    }
                })
                .hasMessageContainingAll("UNAVAILABLE", "ENOSPC");
    }

    private static void assertHealthy(Peer peer) {
        try (Client client = peer.connect()) {
            assertThat(client.list()).hasSize(2);
            assertThat(client.stat(CONTAINER).getLabelsMap()).doesNotContainKey(Labels.POISONED);
            assertThat(Place.of(client.mounts(CONTAINER)).written().resolve("more"))
                    .hasSize(MEBIBYTE);
        }
    }

    private static void assertRemovalsMakeRoom(Peer peer, List<Path> fillers) throws IOException {
        try (Client client = peer.connect()) {
            client.remove(CONTAINER);
            client.remove(LAYER);
            assertThat(client.list()).isEmpty();
            delete(fillers);
            await().atMost(BOUND)
                    .ignoreExceptionsInstanceOf(StatusRuntimeException.class)
                    .untilAsserted(() -> assertThat(
                                    Place.of(client.prepare("default/" + System.nanoTime() + "/c", "", Map.of()))
                                            .isMounted())
                            .isTrue());
        }
    }

    private static void delete(List<Path> fillers) throws IOException {
        for (Path filler : fillers) {
            Files.delete(filler);
        }
    }

    private static void end(Peer peer) throws IOException {
        peer.kill();
        Traces.unmountAllOf(peer);
    }
}
