package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * A filesystem from the moment it is mounted until it is unmounted everywhere. One that has stopped writing, by an aborted transaction or a
 * shutdown, loses with it what was not on disk yet. The kernel has a directory in sysfs for each (ext4_register_sysfs, xfs_mount_sysfs_init,
 * btrfs_sysfs_add_fsid), with an inode number that no other directory gets (kernfs_new_node).
 */
public final class FileSystemInstance {
    /** Of a filesystem of which the kernel does not tell. */
    public static final String UNKNOWN = "unknown";

    private static final Path FILE_SYSTEMS = Path.of("/sys/fs");
    private static final Path BLOCK_DEVICES = Path.of("/sys/dev/block");

    private FileSystemInstance() {}

    /** Another text for another instance on the same boot; {@value #UNKNOWN} if the kernel does not tell. */
    public static String of(MountInfo mount) {
        try {
            Optional<Path> directory = switch (mount.fsType()) {
                case "ext4", "xfs" ->
                    Optional.of(FILE_SYSTEMS.resolve(mount.fsType()).resolve(nameOf(mount.device())));
                case "btrfs" -> btrfsOn(Path.of(mount.source()).toRealPath().getFileName());
                default -> Optional.empty();
            };
            return directory.isPresent() ? mount.fsType() + ":" + inodeOf(directory.get()) : UNKNOWN;
        } catch (IOException | DirectoryIteratorException _) {
            return UNKNOWN;
        }
    }

    private static String nameOf(Device device) throws IOException {
        return BLOCK_DEVICES
                .resolve(device.toString())
                .toRealPath()
                .getFileName()
                .toString();
    }

    private static Optional<Path> btrfsOn(Path deviceName) throws IOException {
        try (DirectoryStream<Path> all = Files.newDirectoryStream(FILE_SYSTEMS.resolve("btrfs"))) {
            for (Path one : all) {
                if (Files.exists(one.resolve("devices").resolve(deviceName))) {
                    return Optional.of(one);
                }
            }
        }
        return Optional.empty();
    }

    private static Object inodeOf(Path directory) throws IOException {
        return Files.getAttribute(directory, "unix:ino");
    }
}
