package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Where the parts of a {@link FuseDisk} are, and how they are taken out of sight. */
record FuseDiskDirectory(Path path) {
    FuseDiskDirectory {
        // The kernel would escape these in /proc/self/mountinfo, or take them for the end of an option.
        if (path.toString().matches(".*[\\s,:\\\\].*")) {
            throw new IllegalArgumentException("no spaces, commas, colons or backslashes in " + path);
        }
    }

    void create() throws IOException {
        Files.createDirectory(backing());
        Files.createDirectory(root());
    }

    /** Mount point of the FUSE file system. */
    Path backing() {
        return path.resolve("backing");
    }

    /** The file behind the loop device. */
    Path image() {
        return backing().resolve(DiskFileSystem.FILE);
    }

    /** What the process writes to its standard error. */
    Path log() {
        return path.resolve("log");
    }

    /** Mount point of the file system on the disk. */
    Path root() {
        return path.resolve("mnt");
    }

    MountsOnDisk mountsOnDisk() {
        return new MountsOnDisk(root());
    }

    /** Detaches every mount, and removes the directories. May be repeated. */
    void detachAll() throws IOException {
        mountsOnDisk().detach();
        new MountsOnDisk(backing()).detach();
        Files.deleteIfExists(log());
        Files.deleteIfExists(backing());
        Files.deleteIfExists(root());
        Files.deleteIfExists(path);
    }
}
