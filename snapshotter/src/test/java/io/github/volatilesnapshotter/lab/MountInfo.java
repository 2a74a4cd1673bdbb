package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * One line of {@code /proc/self/mountinfo}, see proc_pid_mountinfo(5). Paths with white space are not looked for here.
 *
 * @param number major and minor number of the superblock, with a colon between
 * @param mountPoint where it is mounted
 * @param type the file system's type
 * @param superOptions options of the superblock
 */
public record MountInfo(String number, String mountPoint, String type, String superOptions) {
    private static final Path TABLE = Path.of("/proc/self/mountinfo");

    /** All mounts of this process, in the kernel's order. */
    public static List<MountInfo> all() throws IOException {
        try (Stream<String> lines = Files.lines(TABLE)) {
            return lines.map(MountInfo::parse).toList();
        }
    }

    /** The mount at a mount point: the last one where several lie on each other. */
    static MountInfo of(Path mountPoint) throws IOException {
        return all().stream()
                .filter(mount -> mount.mountPoint.equals(mountPoint.toString()))
                .reduce((below, above) -> above)
                .orElseThrow(() -> new IOException(mountPoint + " is not a mount point"));
    }

    static MountInfo parse(String line) {
        String[] fields = line.split(" ", -1);
        // The optional fields before the separator are none, one or several.
        int separator = List.of(fields).indexOf("-");
        return new MountInfo(fields[2], fields[4], fields[separator + 1], fields[separator + 3]);
    }
}
