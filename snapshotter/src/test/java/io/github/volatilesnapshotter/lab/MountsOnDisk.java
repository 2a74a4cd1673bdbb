package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** Mounts of, on and from a disk: below its mount point, overlays with a layer there, other mounts of the same superblocks. */
record MountsOnDisk(Path root) {
    /** Mount points, the latest first. */
    List<String> mountPoints() throws IOException {
        List<MountInfo> all = MountInfo.all();
        Set<String> numbers =
                all.stream().filter(this::isOnDisk).map(MountInfo::number).collect(Collectors.toSet());
        return all.reversed().stream()
                .filter(mount -> numbers.contains(mount.number()))
                .map(MountInfo::mountPoint)
                .toList();
    }

    /** Unmounts all of them that nobody uses. */
    void unmountIdle() throws IOException {
        for (String mountPoint : mountPoints()) {
            try {
                Command.run("umount", "--no-canonicalize", mountPoint);
            } catch (IOException _) {
                // Busy: whoever asks for the mount points next sees it.
            }
        }
    }

    /** Detaches all of them from the tree of mounts. Whoever still has a file open keeps the disk. */
    void detach() throws IOException {
        for (String mountPoint : mountPoints()) {
            Command.run("umount", "--lazy", "--no-canonicalize", mountPoint);
        }
    }

    private boolean isOnDisk(MountInfo mount) {
        return Path.of(mount.mountPoint()).startsWith(root)
                || mount.superOptions().contains("=" + root + "/")
                || mount.superOptions().contains(":" + root + "/");
    }
}
