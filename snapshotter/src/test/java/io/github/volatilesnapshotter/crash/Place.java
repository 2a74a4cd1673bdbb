package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.proto.containerd.types.Mount;
import java.nio.file.Path;
import java.util.List;

/**
 * Where the content of an active lies, as its mounts say.
 *
 * @param written where one may write into it: the upper itself, or the overlay that the snapshotter has mounted
 * @param upper what becomes a layer
 * @param isMounted whether these are two
 */
record Place(Path written, Path upper, boolean isMounted) {
    static Place of(List<Mount> mounts) {
        Mount mount = mounts.getFirst();
        if (mount.getType().equals("overlay")) {
            Path upper = mount.getOptionsList().stream()
                    .filter(option -> option.startsWith("upperdir="))
                    .map(option -> Path.of(option.substring("upperdir=".length())))
                    .findFirst()
                    .orElseThrow();
            return new Place(upper, upper, false);
        }
        Path source = Path.of(mount.getSource());
        boolean isMounted = source.endsWith("merged");
        return new Place(source, isMounted ? source.resolveSibling("fs") : source, isMounted);
    }

    /** The number of the snapshot's directory. */
    long id() {
        return Long.parseLong(upper.getParent().getFileName().toString());
    }
}
