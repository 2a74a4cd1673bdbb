package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.MountInfo;
import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;

/**
 * The block devices that a superblock lies on. Most filesystems have one, whose number is the superblock's too. A btrfs may have
 * several, and its superblock has a number of its own: sysfs lists them.
 */
public final class BlockDevices {
    private static final Path SYSFS = Path.of("/sys");
    /** The major number of superblocks that have no block device of the same number. */
    private static final int ANONYMOUS = 0;

    private BlockDevices() {}

    /**
     * All of them, for btrfs too as long as {@code /sys/fs/btrfs} can be read, else the one that the mount names; an external
     * journal is not among them. Empty for a filesystem that has none, such as tmpfs.
     */
    public static Set<Device> of(MountInfo mount) {
        return of(mount, SYSFS);
    }

    static Set<Device> of(MountInfo mount, Path sysfs) {
        if (mount.major() != ANONYMOUS) {
            return Set.of(mount.device());
        }
        Optional<Device> source = number(mount.source());
        if (source.isEmpty()) {
            return Set.of();
        }
        Set<Device> siblings = siblings(source.get(), sysfs.resolve("fs/btrfs"));
        return siblings.isEmpty() ? Set.of(source.get()) : siblings;
    }

    /** Of a special file in /dev. */
    private static Optional<Device> number(String special) {
        try {
            // What stat calls rdev, in the form of glibc's gnu_dev_makedev.
            long number = ((Number) Files.getAttribute(Path.of(special), "unix:rdev")).longValue();
            long major = (number >>> 8 & 0xfff) | (number >>> 32 & ~0xfffL);
            long minor = (number & 0xff) | (number >>> 12 & 0xffffff00L);
            return major == ANONYMOUS ? Optional.empty() : Optional.of(new Device((int) major, (int) minor));
        } catch (IOException | InvalidPathException _) {
            return Optional.empty();
        }
    }

    /** The devices of the btrfs that one of them belongs to: {@code /sys/fs/btrfs/<uuid>/devices/<name>/dev}. */
    private static Set<Device> siblings(Device one, Path btrfs) {
        try (DirectoryStream<Path> fileSystems = Files.newDirectoryStream(btrfs)) {
            for (Path fileSystem : fileSystems) {
                Set<Device> devices = devices(fileSystem.resolve("devices"));
                if (devices.contains(one)) {
                    return devices;
                }
            }
        } catch (IOException | DirectoryIteratorException _) {
            // No sysfs, or a filesystem that was unmounted meanwhile.
        }
        return Set.of();
    }

    private static Set<Device> devices(Path directory) throws IOException {
        Set<Device> devices = new HashSet<>();
        if (Files.isDirectory(directory)) {
            try (DirectoryStream<Path> links = Files.newDirectoryStream(directory)) {
                for (Path link : links) {
                    devices.add(
                            Device.parse(Files.readString(link.resolve("dev")).strip()));
                }
            }
        }
        return devices;
    }
}
