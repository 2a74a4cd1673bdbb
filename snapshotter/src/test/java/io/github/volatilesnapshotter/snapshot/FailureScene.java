package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.State;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeoutException;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;

/**
 * A disk before it fails: a snapshotter with its records and uppers on it, a container and a layer that is being unpacked, and an
 * observer who asks the kernel himself.
 */
final class FailureScene<D extends Disk> implements AutoCloseable {
    static final Duration BOUND = Duration.ofSeconds(20);
    static final int MEBIBYTE = 1 << 20;

    static final String CONTAINER = "default/1/container";
    static final String LAYER = "default/2/extract-layer";

    final D disk;
    final RunningSnapshotterFixture fixture;
    private Observer observer;
    private int fresh;

    /** The root of the container. */
    final Path merged;

    /** The container's upper directory, in which an fsync writes back. */
    final Path upper;

    /** Where the layer is unpacked. */
    final Path unpacked;

    private FailureScene(D disk, RunningSnapshotterFixture fixture) throws Exception {
        this.disk = disk;
        this.fixture = fixture;
        this.observer = Observer.on(disk, "observer");
        merged = Path.of(
                snapshotter().prepare(CONTAINER, "", Map.of()).getFirst().source());
        upper = merged.resolveSibling("fs");
        unpacked = RunningSnapshotterFixture.upperOf(snapshotter().prepare(LAYER, "", Map.of()));
        await().atMost(BOUND)
                .until(() -> RecoveryReports.newest(fixture.layout().root()).isPresent());
        // What is lost from now on is what a test loses.
        disk.syncfs();
    }

    /** @param disk is closed with the scene */
    static <D extends Disk> FailureScene<D> on(D disk) throws Exception {
        return on(disk, RunningSnapshotterFixture::new);
    }

    /** @param disk is closed with the scene, and so is the fixture */
    static <D extends Disk> FailureScene<D> on(D disk, FixtureOn fixtureOn) throws Exception {
        try {
            RunningSnapshotterFixture fixture = fixtureOn.start(disk.root());
            try {
                return new FailureScene<>(disk, fixture);
            } catch (Exception e) {
                fixture.close();
                throw e;
            }
        } catch (Exception e) {
            disk.close();
            throw e;
        }
    }

    /** A snapshotter as a test wants it. */
    interface FixtureOn {
        RunningSnapshotterFixture start(Path directory) throws Exception;
    }

    Snapshotter snapshotter() {
        return fixture.snapshotter();
    }

    Observer observer() {
        return observer;
    }

    /** What the container writes and the disk does not take: dirty data that is written back now. */
    void loseDataOfContainer() throws IOException {
        Disk.writeDirty(merged.resolve("data"), MEBIBYTE);
        assertThatThrownBy(() -> Disk.fsync(upper.resolve("data"))).isInstanceOf(IOException.class);
    }

    /** The superblock's options as mountinfo shows them. */
    List<String> superblockOptions() throws SyscallException {
        return MountInfo.ofSelf().stream()
                .filter(mount -> mount.mountPoint().equals(disk.root().toString()))
                .map(MountInfo::superOptions)
                .findFirst()
                .orElseThrow();
    }

    /** What runs once after a start asks overlays too. */
    void awaitRehearsed() {
        await().atMost(BOUND)
                .until(() -> Thread.getAllStackTraces().keySet().stream()
                        .noneMatch(thread -> thread.getName().equals("rehearsal")));
    }

    void awaitState(State... states) {
        await().atMost(BOUND)
                .untilAsserted(() -> assertThat(fixture.superblock()).isIn((Object[]) states));
    }

    void awaitPoison() {
        await().atMost(BOUND).until(() -> isPoisoned(CONTAINER) && isPoisoned(LAYER));
    }

    boolean isPoisoned(String key) throws SnapshotException {
        return snapshotter().stat(key).labels().containsKey(Labels.POISONED);
    }

    /** All that the snapshotter answers about a snapshot that is poisoned. */
    void assertPoisoned(String key, PoisonReason reason, Errno errno) throws SnapshotException {
        assertThat(snapshotter().stat(key).labels())
                .containsEntry(Labels.POISONED, reason.word())
                .containsKey(Labels.POISONED_AT)
                .containsEntry(Labels.GENERATION, "0");
        String message = "snapshot " + key + " is poisoned: " + reason.word() + " (" + errno.name() + ") on "
                + fixture.device() + " at ";
        refused(Category.FAILED_PRECONDITION, message, () -> snapshotter().mounts(key));
        refused(Category.FAILED_PRECONDITION, message, () -> commit("committed", key));
        refused(Category.NOT_FOUND, "committed", () -> snapshotter().stat("committed"));
    }

    void assertBothPoisoned(PoisonReason reason, Errno errno) throws SnapshotException {
        assertPoisoned(CONTAINER, reason, errno);
        assertPoisoned(LAYER, reason, errno);
        await().atMost(BOUND)
                .untilAsserted(() -> assertThat(fixture.poisonings)
                        .extracting(Poisoning::clientKey)
                        .contains("container", "extract-layer"));
    }

    /** Asks the kernel anew, by Mounts and by the sync of a Commit: what is not found now is not there. */
    void assertNothingPoisoned() throws SnapshotException {
        assertThat(snapshotter().mounts(CONTAINER)).hasSize(1);
        commit("sound layer", LAYER);
        assertThat(isPoisoned(CONTAINER)).isFalse();
        assertThat(fixture.poisonings).isEmpty();
    }

    void commit(String name, String key) throws SnapshotException {
        snapshotter().commit(name, key, "", Map.of(), Cancellation.NEVER);
    }

    /** The disk is well again: what is mounted and unpacked from now on knows nothing of what was. */
    void assertNewSnapshotsWork() throws Exception {
        awaitState(State.HEALTHY);
        fresh++;
        String key = "default/" + (100 + fresh) + "/fresh";
        Path root = await().atMost(BOUND)
                .ignoreExceptionsMatching(RunningSnapshotterFixture::isUnavailable)
                .until(() -> snapshotter().prepare(key, "", Map.of()).getFirst(), mount -> true)
                .source()
                .transform(Path::of);
        assertThat(MountInfo.containing(root).isVolatile()).isTrue();
        Disk.writeDirty(root.resolve("data"), MEBIBYTE);
        Disk.fsync(root.resolveSibling("fs").resolve("data"));
        fixture.layerAfterRecovery("fresh layer " + fresh);
        assertThat(snapshotter().mounts(key)).hasSize(1);
        assertThat(isPoisoned(key)).isFalse();
        assertThat(fixture.superblock()).isEqualTo(State.HEALTHY);
    }

    /** The filesystem has given up: mounted anew, by a new daemon, it serves; what was being written before is not trusted. */
    void assertNewSnapshotsWorkAfterRemount() throws Exception {
        observer.close();
        fixture.restartOnRemounted(disk);
        for (String key : List.of(CONTAINER, LAYER)) {
            boolean isServed = Files.exists(fixture.layout().upper(1)) && isKnown(key) && !isPoisoned(key);
            assertThat(isServed).as(key + " is poisoned or thrown away").isFalse();
        }
        assertNewSnapshotsWork();
    }

    private boolean isKnown(String key) throws SnapshotException {
        return snapshotter().list(List.of("name==\"" + key + "\"")).hasNext();
    }

    static void refused(Category category, String inMessage, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        SnapshotException.class, e -> assertThat(e.category()).isEqualTo(category))
                .hasMessageContaining(inMessage);
    }

    @Override
    public void close() throws IOException, MetadataException, TimeoutException {
        try (disk;
                fixture) {
            disk.heal();
            observer.close();
        }
    }
}
