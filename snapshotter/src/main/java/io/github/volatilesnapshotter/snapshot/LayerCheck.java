package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.snapshot.RecoveryReport.Outcome;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/**
 * Looks once into the directory of each layer, after the start, since on a cold disk that takes seconds. A layer without its files is lost;
 * what a Commit that was killed has left of the active goes to the trash. What it does meets no request: ids are not given again, and a
 * Remove deletes the record before the directory moves, or has withdrawn the layer before. Later it only looks whether the directories are still there.
 */
final class LayerCheck {
    private static final Duration SETTLED = Duration.ofSeconds(1);

    private final Layout layout;
    private final SnapshotStore store;
    private final LostLayers lostLayers;
    private final Trash trash;
    private final RecoveryReport report;

    /** Of the directory of snapshots, when it was last listed; of the one thread that looks again. */
    private @Nullable FileTime listedAt;

    LayerCheck(Layout layout, SnapshotStore store, LostLayers lostLayers, Trash trash, RecoveryReport report) {
        this.layout = layout;
        this.store = store;
        this.lostLayers = lostLayers;
        this.trash = trash;
        this.report = report;
    }

    /** @param isOver asked before each layer */
    void run(BooleanSupplier isOver) {
        for (SnapshotRecord snapshot : store.all()) {
            if (isOver.getAsBoolean()) {
                return;
            }
            if (snapshot.kind() == RecordKind.COMMITTED && !lostLayers.contains(snapshot.id())) {
                check(snapshot);
            }
        }
    }

    private void check(SnapshotRecord layer) {
        long id = layer.id();
        try {
            List<DirectoryTree.Name> names = DirectoryTree.names(layout.snapshot(id));
            if (!names.contains(new DirectoryTree.Name("fs", true))) {
                lost(layer);
            }
            for (Path leftover : List.of(layout.work(id), layout.merged(id))) {
                if (names.contains(new DirectoryTree.Name(leftover.getFileName().toString(), true))) {
                    boolean _ = trash.throwAwaySoonerOrLater(leftover);
                }
            }
        } catch (SyscallException e) {
            if (e.errno().is(Errno.ENOENT)) {
                lost(layer);
            } else {
                report.add(Outcome.FAILED, id, layer.key(), "can't look into a layer: " + e.getMessage());
            }
        }
    }

    private void lost(SnapshotRecord layer) {
        if (lostLayers.contains(layer.id())) {
            return; // its removal has begun
        }
        if (lostLayers.add(layer.id())) {
            report.add(Outcome.LOST_LAYER, layer.id(), layer.key(), layout.upper(layer.id()) + LostLayers.IS_GONE);
        }
    }

    /**
     * Looks for layers whose directory was taken away since, or put back, by one listing, and by none where the directory of snapshots has not changed
     * since the last one. What is gone inside of a layer's directory is found by whatever would stand on it.
     */
    void lookAgain() throws IOException {
        FileTime changedAt = Files.getLastModifiedTime(layout.snapshots());
        if (changedAt.equals(listedAt)) {
            return;
        }
        // In this order: the directory of a layer that has a record by now is there before.
        List<SnapshotRecord> snapshots = store.all();
        Set<String> names = new HashSet<>();
        DirectoryTree.names(layout.snapshots()).forEach(entry -> names.add(entry.name()));
        for (SnapshotRecord snapshot : snapshots) {
            boolean isLost = lostLayers.contains(snapshot.id());
            if (snapshot.kind() == RecordKind.COMMITTED && names.contains(Long.toString(snapshot.id())) == isLost) {
                lostLayers.lookAt(snapshot);
            }
        }
        // What comes within the clock's tick of the last change does not show in the time.
        listedAt = changedAt.toInstant().isBefore(Instant.now().minus(SETTLED)) ? changedAt : null;
    }
}
