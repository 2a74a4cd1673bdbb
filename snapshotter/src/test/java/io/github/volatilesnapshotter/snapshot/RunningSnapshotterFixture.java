package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.State;
import io.github.volatilesnapshotter.superblock.WatchSettings;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import java.io.IOException;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeoutException;
import java.util.function.BiFunction;
import java.util.function.Consumer;

/** A snapshotter on a directory of the test's, that can be stopped and started again; leaves no mount behind. */
final class RunningSnapshotterFixture implements AutoCloseable {
    private final SnapshotterSettings settings;
    final List<Poisoning> poisonings = new CopyOnWriteArrayList<>();

    /** When the first poison of each key was told, which is after it was recorded; as {@link System#nanoTime}. */
    final Map<String, Long> poisonedNanos = new ConcurrentHashMap<>();

    /** What the superblock was in turn, with device and reason, since the last start; begins with its state then. */
    final List<String> conditions = new CopyOnWriteArrayList<>();

    private RunningSnapshotter running;
    private Metrics metrics;

    /** @param directory on the filesystem to use; {@code root} and {@code state} are made below it */
    RunningSnapshotterFixture(Path directory) throws Exception {
        this(directory, 60_000);
    }

    RunningSnapshotterFixture(Path directory, long commitTimeoutMillis) throws Exception {
        this(directory, commitTimeoutMillis, SnapshotterSettings.OnSickFileSystem.DURABLE);
    }

    RunningSnapshotterFixture(Path directory, SnapshotterSettings.LayerSyncMode layerSync) throws Exception {
        this(directory, 60_000, SnapshotterSettings.OnSickFileSystem.DURABLE, layerSync);
    }

    /** One that writes back early. */
    static RunningSnapshotterFixture writingEarly(Path directory, long intervalMillis) throws Exception {
        return new RunningSnapshotterFixture(
                directory,
                60_000,
                SnapshotterSettings.OnSickFileSystem.DURABLE,
                SnapshotterSettings.LayerSyncMode.AUTO,
                intervalMillis,
                100_000);
    }

    /** One that watches as closely as the settings say. */
    static RunningSnapshotterFixture watching(Path directory, WatchSettings watch) throws Exception {
        return new RunningSnapshotterFixture(
                directory,
                60_000,
                SnapshotterSettings.OnSickFileSystem.DURABLE,
                SnapshotterSettings.LayerSyncMode.AUTO,
                0,
                100_000,
                watch);
    }

    RunningSnapshotterFixture(
            Path directory, long commitTimeoutMillis, SnapshotterSettings.OnSickFileSystem onSickFileSystem)
            throws Exception {
        this(directory, commitTimeoutMillis, onSickFileSystem, SnapshotterSettings.LayerSyncMode.AUTO);
    }

    RunningSnapshotterFixture(
            Path directory,
            long commitTimeoutMillis,
            SnapshotterSettings.OnSickFileSystem onSickFileSystem,
            SnapshotterSettings.LayerSyncMode layerSync)
            throws Exception {
        this(directory, commitTimeoutMillis, onSickFileSystem, layerSync, 0, 100_000);
    }

    RunningSnapshotterFixture(
            Path directory,
            long commitTimeoutMillis,
            SnapshotterSettings.OnSickFileSystem onSickFileSystem,
            SnapshotterSettings.LayerSyncMode layerSync,
            long earlyWritebackIntervalMillis,
            int mostOpenUppers)
            throws Exception {
        this(
                directory,
                commitTimeoutMillis,
                onSickFileSystem,
                layerSync,
                earlyWritebackIntervalMillis,
                mostOpenUppers,
                new WatchSettings(20, 1_000, 2_000));
    }

    private RunningSnapshotterFixture(
            Path directory,
            long commitTimeoutMillis,
            SnapshotterSettings.OnSickFileSystem onSickFileSystem,
            SnapshotterSettings.LayerSyncMode layerSync,
            long earlyWritebackIntervalMillis,
            int mostOpenUppers,
            WatchSettings watch)
            throws Exception {
        Path state = Files.createTempDirectory("volatile-snapshotter-state");
        this.settings = new SnapshotterSettings(
                directory.resolve("root"),
                state,
                true,
                commitTimeoutMillis,
                2_000,
                10_000,
                0,
                onSickFileSystem,
                watch,
                layerSync,
                earlyWritebackIntervalMillis,
                mostOpenUppers);
        try {
            start();
        } catch (Exception e) {
            DirectoryTree.delete(state);
            throw e;
        }
    }

    void start() throws Exception {
        metrics = new Metrics();
        running = RunningSnapshotter.start(settings, metrics, this::poisoned);
        conditions.clear();
        running.onState((_, condition) -> conditions.add(condition));
    }

    private void poisoned(Poisoning poisoning) {
        poisonedNanos.putIfAbsent(poisoning.key(), System.nanoTime());
        poisonings.add(poisoning);
    }

    /** As SIGTERM does: mounts stay. */
    void stop() throws Exception {
        running.close();
    }

    void restart() throws Exception {
        stop();
        start();
    }

    /**
     * The daemon and its mounts end, the disk is mounted anew, and another daemon starts: what an operator does about a filesystem
     * that has given up.
     */
    void restartOnRemounted(Disk disk) throws Exception {
        endWithMounts();
        disk.remount();
        start();
    }

    /** Of a metric, by its name in Prometheus' text with its labels. */
    double metric(String series) {
        return metrics.prometheusText()
                .lines()
                .filter(line -> line.startsWith("volatile_snapshotter_" + series + " "))
                .mapToDouble(line -> Double.parseDouble(line.substring(line.lastIndexOf(' ') + 1)))
                .findFirst()
                .orElseThrow(() -> new AssertionError("no " + series));
    }

    Layout layout() {
        return new Layout(settings.root());
    }

    Path state() {
        return settings.state();
    }

    Snapshotter snapshotter() {
        return running.snapshotter();
    }

    /** The state that the superblock is in. */
    State superblock() {
        return running.superblockState();
    }

    void onError(Consumer<Boolean> told) {
        running.onError(told);
    }

    String device() {
        return running.device();
    }

    /** As if the kernel had reported a lost write of the snapshot with this id, and of no other. */
    void condemn(long id) {
        try {
            ((Inquiry) fieldOf(running, "inquiry")).lostWrite(id, Errno.EIO);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("nothing can be condemned", e);
        }
    }

    /** Where a new volatile snapshot is mounted. */
    Path container(String key, String parent) throws SnapshotException {
        return Path.of(snapshotter().prepare(key, parent, Map.of()).getFirst().source());
    }

    /** A recovery beside the daemon that runs, of what that one has; {@code uppers} makes what holds the overlays. */
    Recovery recovery(BiFunction<WatchedSuperblock, Trash, Uppers> uppers) {
        try {
            WatchedSuperblock superblock = (WatchedSuperblock) fieldOf(running, "superblock");
            Trash trash = (Trash) fieldOf(running, "trash");
            return new Recovery(
                    layout(),
                    (SnapshotStore) fieldOf(running, "store"),
                    uppers.apply(superblock, trash),
                    (Poisoner) fieldOf(running, "poisoner"),
                    (PoisonReports) fieldOf(running, "poisonReports"),
                    trash,
                    (LostLayers) fieldOf(running, "lostLayers"),
                    (Machine) fieldOf(running, "machine"),
                    Remains.begin(layout()).result());
        } catch (ReflectiveOperationException | SyscallException e) {
            throw new IllegalStateException("nothing can be recovered", e);
        }
    }

    /** Why a snapshot is poisoned; empty if it is not. */
    String poison(String key) throws SnapshotException {
        return snapshotter().stat(key).labels().getOrDefault(Labels.POISONED, "");
    }

    /** A durable layer with one file of this content, named as its parent's child. */
    void layer(String name, String parent, String file, String content) throws Exception {
        String key = "default/1/extract-" + name;
        List<Mount> mounts = snapshotter().prepare(key, parent, Map.of(Labels.SNAPSHOT_REF, name));
        Files.writeString(upperOf(mounts).resolve(file), content);
        snapshotter().commit(name, key, "", Map.of(), Cancellation.NEVER);
    }

    /** A layer on a disk that has just recovered: until the records are written anew, requests are told to come again. */
    void layerAfterRecovery(String name) {
        await().atMost(Duration.ofSeconds(30))
                .ignoreExceptionsMatching(RunningSnapshotterFixture::isUnavailable)
                .untilAsserted(() -> {
                    String key = "default/" + System.nanoTime() + "/extract-" + name;
                    Path upper = upperOf(snapshotter().prepare(key, "", Map.of()));
                    Files.writeString(upper.resolve("data"), "unpacked again");
                    snapshotter().commit(name, key, "", Map.of(), Cancellation.NEVER);
                });
    }

    static boolean isUnavailable(Throwable failure) {
        return failure instanceof SnapshotException refused && refused.category() == Category.UNAVAILABLE;
    }

    /** The upper directory that an overlay mount names: where containerd's applier writes. */
    static Path upperOf(List<Mount> mounts) {
        return Path.of(option(mounts, "upperdir="));
    }

    static String option(List<Mount> mounts, String prefix) {
        return mounts.getFirst().options().stream()
                .filter(option -> option.startsWith(prefix))
                .findFirst()
                .orElseThrow(() -> new AssertionError("no " + prefix + " in " + mounts))
                .substring(prefix.length());
    }

    @Override
    public void close() throws IOException, MetadataException, TimeoutException {
        try {
            endWithMounts();
        } finally {
            DirectoryTree.delete(settings.state());
        }
    }

    private void endWithMounts() throws IOException, MetadataException, TimeoutException {
        try {
            running.closeAndUnmount();
        } catch (SyscallException e) {
            // A filesystem that has given up takes no deletion; the mounts are detached before.
            assertThat(e.errno()).isIn(Errno.EROFS, Errno.EIO);
        } finally {
            closeWhatAProcessLeavesToItsEnd();
        }
    }

    /** Records that their disk refused are left open by a stop, and the disk could not be unmounted: tests are one process. */
    private void closeWhatAProcessLeavesToItsEnd() {
        try {
            Object file = fieldOf(fieldOf(running, "store"), "file");
            Method close = file.getClass().getDeclaredMethod("closeInUse");
            close.setAccessible(true);
            close.invoke(file);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException("the records can't be closed", e);
        }
    }

    private static Object fieldOf(Object owner, String name) throws ReflectiveOperationException {
        Field field = owner.getClass().getDeclaredField(name);
        field.setAccessible(true);
        return field.get(owner);
    }
}
