package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.MountInfo;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** What a killed snapshotter leaves on the machine, taken away. */
final class Traces {
    private Traces() {}

    /** Detaches what a daemon has mounted. */
    static void unmountAllOf(Peer peer) throws IOException {
        unmountBelow(peer.root());
        unmountBelow(peer.state());
    }

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

    /** Removes the instances in tracefs of a daemon that has ended, whichever superblocks its root was on. */
    static void removeErrorTraces(Path root) throws IOException {
        String ending = "-" + Integer.toHexString(root.toString().hashCode());
        Path tracefs = Files.createTempDirectory("tracefs-");
        // A mount of its own shows the same instances, and is there also where nobody mounted tracefs.
        Command.run("mount", "-t", "tracefs", "tracefs", tracefs.toString());
        try (Stream<Path> instances = Files.list(tracefs.resolve("instances"))) {
            for (Path instance : instances
                    .filter(path -> path.getFileName().toString().endsWith(ending))
                    .toList()) {
                Files.deleteIfExists(instance);
            }
        } finally {
            Command.run("umount", tracefs.toString());
            Files.delete(tracefs);
        }
    }
}
