package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.snapshot.RecoveryReport.Outcome;
import java.nio.file.Path;
import java.util.List;
import java.util.function.BooleanSupplier;

/**
 * Looks once into the directory of each layer, after the start, since on a cold disk that takes seconds. A layer without its files is lost;
 * what a Commit that was killed has left of the active goes to the trash. What it does meets no request: ids are not given again, and a
 * Remove deletes the record before the directory moves.
 */
final class LayerCheck {
    private final Layout layout;
    private final SnapshotStore store;
    private final LostLayers lostLayers;
    private final Trash trash;
    private final RecoveryReport report;

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
                    trash.throwAway(leftover);
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
        if (store.find(layer.id()).isEmpty()) {
            return; // removed meanwhile
        }
        lostLayers.add(layer.id());
        if (store.find(layer.id()).isEmpty()) {
            lostLayers.forget(layer.id());
            return;
        }
        report.add(Outcome.LOST_LAYER, layer.id(), layer.key(), layout.upper(layer.id()) + LostLayers.IS_GONE);
    }
}
