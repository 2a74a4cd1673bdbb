package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.DEBUG;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Volatile overlays that are not seen at their mount point any more, because somebody has unmounted them or mounted something over them. They
 * still have their memory of errors, and what runs on them runs on; Mounts refuses them, and the next start puts them back. One thread looks;
 * any may ask how many there are.
 */
final class DisplacedOverlays {
    private static final System.Logger LOG = System.getLogger(DisplacedOverlays.class.getName());

    /** What is wrong with one, for people. */
    static final String ADVICE =
            "somebody has unmounted it, or mounted something over it. A restart of the daemon puts it back";

    private final SnapshotStore store;
    private final Uppers uppers;
    private final Set<Long> displaced = ConcurrentHashMap.newKeySet();

    DisplacedOverlays(SnapshotStore store, Uppers uppers) {
        this.store = store;
        this.uppers = uppers;
    }

    int count() {
        return displaced.size();
    }

    /** Two calls of the kernel for each overlay, which wait for no disk but that of what covers one. What is found is logged once. */
    void look() {
        displaced.removeIf(id -> uppers.overlay(id).isEmpty());
        for (long id : uppers.mounted()) {
            Optional<VolatileOverlay> overlay = uppers.overlay(id);
            if (overlay.isPresent()) {
                tell(id, overlay.get());
            }
        }
    }

    private void tell(long id, VolatileOverlay overlay) {
        if (isInPlace(overlay)) {
            if (displaced.remove(id)) {
                LOG.log(INFO, "overlay is in its place again", "id", id, "key", keyOf(id));
            }
        } else if (displaced.add(id)) {
            LOG.log(
                    WARNING,
                    "overlay is not in its place: " + ADVICE,
                    "id",
                    id,
                    "key",
                    keyOf(id),
                    "mount_point",
                    overlay.mountPoint());
        }
    }

    /** What can't even be looked at there is something else. */
    private static boolean isInPlace(VolatileOverlay overlay) {
        try {
            return overlay.isInPlace();
        } catch (SyscallException e) {
            LOG.log(DEBUG, "can't look at " + overlay.mountPoint(), e);
            return !overlay.isOpen();
        }
    }

    private String keyOf(long id) {
        return store.keyOf(id).orElse("");
    }
}
