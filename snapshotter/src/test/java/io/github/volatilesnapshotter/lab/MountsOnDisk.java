package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

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

    /** Processes that keep the disk, one line each: a mount in a mount namespace of their own, or an open file. For people, and as root. */
    List<String> holders(Path device) throws IOException {
        List<String> holders = new ArrayList<>();
        Set<String> namespaces = new HashSet<>();
        try (Stream<Path> processes = Files.list(Path.of("/proc"))) {
            for (Path process : processes
                    .filter(path -> path.getFileName().toString().matches("[0-9]+"))
                    .toList()) {
                try {
                    what(process, device, namespaces)
                            .ifPresent(held -> holders.add(
                                    "process " + process.getFileName() + " (" + name(process) + ") has " + held));
                } catch (IOException | UncheckedIOException _) {
                    // It has ended meanwhile.
                }
            }
        }
        return holders;
    }

    /** @param namespaces that were looked at */
    private Optional<String> what(Path process, Path device, Set<String> namespaces) throws IOException {
        Path namespace = Files.readSymbolicLink(process.resolve("ns/mnt"));
        if (namespaces.add(namespace.toString())) {
            Optional<MountInfo> mount;
            try (Stream<String> lines = Files.lines(process.resolve("mountinfo"))) {
                mount = lines.map(MountInfo::parse).filter(this::isOnDisk).findFirst();
            }
            if (mount.isPresent()) {
                return mount.map(found -> found.mountPoint() + " mounted in " + namespace);
            }
        }
        try (Stream<Path> descriptors = Files.list(process.resolve("fd"))) {
            return descriptors
                    .map(MountsOnDisk::target)
                    .filter(target -> target.startsWith(root) || target.equals(device))
                    .map(target -> target + " open")
                    .findFirst();
        }
    }

    private static Path target(Path descriptor) {
        try {
            return Files.readSymbolicLink(descriptor);
        } catch (IOException _) {
            return descriptor; // closed meanwhile
        }
    }

    private static String name(Path process) {
        try {
            return Files.readString(process.resolve("comm")).strip();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private boolean isOnDisk(MountInfo mount) {
        return Path.of(mount.mountPoint()).startsWith(root)
                || mount.superOptions().contains("=" + root + "/")
                || mount.superOptions().contains(":" + root + "/");
    }
}
