package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;

/**
 * Turns a snapshot into the mounts that its client carries out.
 *
 * <table>
 * <caption>What a client gets</caption>
 * <tr><td>view without parent</td><td>bind ro of the empty directory</td></tr>
 * <tr><td>view of one layer</td><td>bind ro of that layer</td></tr>
 * <tr><td>view of more</td><td>overlay of lower layers</td></tr>
 * <tr><td>durable active</td><td>plain overlay, also without parent: containerd's applier writes whiteouts into an upper as an
 *     overlay needs them, and a bind would lose them</td></tr>
 * <tr><td>volatile active</td><td>bind of the overlay that we mounted</td></tr>
 * </table>
 */
final class SnapshotMounts {
    private final Layout layout;

    SnapshotMounts(Layout layout) {
        this.layout = layout;
    }

    /** @param parents the snapshot's layers, uppermost first */
    List<Mount> of(SnapshotRecord snapshot, List<SnapshotRecord> parents) {
        if (snapshot.kind() == RecordKind.VIEW) {
            return List.of(view(lower(parents)));
        }
        if (snapshot.upper() != null && snapshot.upper().role() == Role.VOLATILE) {
            return List.of(bind(layout.merged(snapshot.id()), "rw"));
        }
        return List.of(overlay(List.of(
                "index=off",
                "workdir=" + layout.work(snapshot.id()),
                "upperdir=" + layout.upper(snapshot.id()),
                lowerOption(lower(parents)))));
    }

    /** The lower directories of a snapshot with these layers; never empty, because an overlay needs one. */
    List<Path> lower(List<SnapshotRecord> parents) {
        if (parents.isEmpty()) {
            return List.of(layout.empty());
        }
        List<Path> lower = new ArrayList<>(parents.size());
        for (SnapshotRecord parent : parents) {
            lower.add(layout.upper(parent.id()));
        }
        return lower;
    }

    private static Mount view(List<Path> lower) {
        return lower.size() == 1 ? bind(lower.getFirst(), "ro") : overlay(List.of("index=off", lowerOption(lower)));
    }

    private static Mount bind(Path source, String access) {
        return new Mount("bind", source.toString(), List.of(access, "rbind"));
    }

    private static Mount overlay(List<String> options) {
        return new Mount("overlay", "overlay", options);
    }

    private static String lowerOption(List<Path> lower) {
        return lower.stream().map(Path::toString).collect(Collectors.joining(":", "lowerdir=", ""));
    }
}
