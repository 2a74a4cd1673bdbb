package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import java.util.List;

/**
 * What layers do not need and still have: a Commit throws it away after its record, without a flush, so that a crash in between, or a
 * power cut soon after, leaves it. It harms nobody, and is gone with the layer at the latest; so nobody waits for it.
 */
final class LayerLeftovers {
    private static final System.Logger LOG = System.getLogger(LayerLeftovers.class.getName());

    private final Layout layout;
    private final Trash trash;
    private final List<Long> layers;

    /** Of all layers that are there now. */
    LayerLeftovers(Layout layout, Trash trash, SnapshotStore store) {
        this.layout = layout;
        this.trash = trash;
        this.layers = store.all().stream()
                .filter(snapshot -> snapshot.kind() == RecordKind.COMMITTED)
                .map(SnapshotRecord::id)
                .toList();
    }

    /** Takes all of it out of sight. Layers may be removed meanwhile. */
    void throwAway() {
        for (long id : layers) {
            try {
                trash.throwAway(layout.work(id));
                trash.throwAway(layout.merged(id));
            } catch (SyscallException e) {
                LOG.log(WARNING, "what layer " + id + " does not need can't be thrown away", e);
            }
        }
    }
}
