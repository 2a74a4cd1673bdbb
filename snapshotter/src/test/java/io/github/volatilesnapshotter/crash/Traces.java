package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.MountInfo;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** What a killed snapshotter leaves mounted, taken away. */
final class Traces {
    private Traces() {}

    /** Detaches every mount below the directory. */
    static void unmountBelow(Path directory) throws IOException {
        List<String> mountPoints = MountInfo.all().stream()
                .map(MountInfo::mountPoint)
                .filter(mountPoint -> Path.of(mountPoint).startsWith(directory)
                        && !Path.of(mountPoint).equals(directory))
                .toList();
        for (String mountPoint : mountPoints.reversed()) {
            Command.run("umount", "--lazy", "--no-canonicalize", mountPoint);
        }
    }
}
