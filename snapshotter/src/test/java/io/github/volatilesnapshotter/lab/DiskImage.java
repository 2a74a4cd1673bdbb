package io.github.volatilesnapshotter.lab;

import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;

/**
 * What a power cut left of a disk, mounted: the file system has replayed its journal or log.
 *
 * <p>An image of btrfs can be mounted only while neither its disk nor another image of that is: they have the same UUID.
 * Closing unmounts, with whatever is mounted below.
 */
public final class DiskImage implements AutoCloseable {
    /**
     * A file system of the same UUID may be on its way out: a process that was killed while it waits for a commit of btrfs, which comes every
     * 30 s, keeps it until then.
     */
    private static final Duration SAME_UUID_BOUND = Duration.ofSeconds(60);

    private final Path root;

    private DiskImage(Path root) {
        this.root = root;
    }

    /**
     * Mounts an image.
     *
     * @param mountPoint a directory, which is made
     * @throws IOException if the file system is damaged beyond what its log repairs
     */
    public static DiskImage mount(Path file, FileSystem fileSystem, Path mountPoint) throws IOException {
        Files.createDirectory(mountPoint);
        String options = fileSystem == FileSystem.XFS ? "loop,noatime,nouuid" : "loop,noatime";
        try {
            Retry.untilItWorks(
                    () -> Command.run(
                            "mount",
                            "-t",
                            fileSystem.kernelName(),
                            "-o",
                            options,
                            file.toString(),
                            mountPoint.toString()),
                    SAME_UUID_BOUND);
        } catch (IOException e) {
            Files.delete(mountPoint);
            throw e;
        }
        return new DiskImage(mountPoint);
    }

    public Path root() {
        return root;
    }

    @Override
    public void close() throws IOException {
        try {
            Retry.untilItWorks(this::unmountIdle);
        } catch (IOException e) {
            MountsOnDisk mounts = new MountsOnDisk(root);
            IOException told = new IOException(e.getMessage() + "; held by " + mounts.holders(root), e);
            mounts.detach();
            throw told;
        }
        Files.delete(root);
    }

    private Void unmountIdle() throws IOException {
        new MountsOnDisk(root).unmountIdle();
        if (MountInfo.all().stream()
                .anyMatch(mount -> Path.of(mount.mountPoint()).startsWith(root))) {
            throw new IOException(root + " is busy");
        }
        return null;
    }
}
