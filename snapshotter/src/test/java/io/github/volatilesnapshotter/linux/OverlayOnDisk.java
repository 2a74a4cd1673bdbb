package io.github.volatilesnapshotter.linux;

import io.github.volatilesnapshotter.lab.Disk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** An overlay with all of its directories in one. Whoever ends the place where it is unmounts it: a disk of the lab, or a {@link MountedTempDirectory}. */
record OverlayOnDisk(Path directory) {
    /** Makes the directories in a new one. */
    static OverlayOnDisk prepare(Path parent, String name) throws IOException {
        Path directory = Files.createDirectory(parent.resolve(name));
        for (String part : List.of("lower", "upper", "work", "merged")) {
            Files.createDirectory(directory.resolve(part));
        }
        return new OverlayOnDisk(directory);
    }

    static OverlayOnDisk mountVolatile(Path parent, String name) throws IOException {
        return prepare(parent, name).mount(true);
    }

    /** One that is not volatile. */
    static OverlayOnDisk mountPlain(Path parent, String name) throws IOException {
        return prepare(parent, name).mount(false);
    }

    /**
     * The root of a volatile overlay that is mounted nowhere. {@link Sync#fsyncError} of it says what the kernel has to say to a volatile
     * overlay of this disk from now on: nothing, or the error since. It keeps the disk busy until it is closed.
     */
    static Fd sampleOf(Disk disk) throws IOException {
        return OverlayMounter.fsopen()
                .openDetached(prepare(disk.root(), "sample").layers());
    }

    OverlayOnDisk mount(boolean isVolatile) throws SyscallException {
        OverlayMounter.fsopen().mount(layers(), isVolatile, merged());
        return this;
    }

    /** A volatile one with the kernel's own defaults for everything else, attached nowhere: the descriptor of fsmount. */
    Fd createMount() throws SyscallException {
        try (FileSystemContext context = context()) {
            context.setFlag("volatile");
            return context.createMount();
        }
    }

    /** With its layers, and nothing else yet. */
    FileSystemContext context() throws SyscallException {
        FileSystemContext context = FileSystemContext.open(MountApi.ofThisLibrary(), "overlay");
        try {
            context.setDirectory("lowerdir+", lower());
            context.setDirectory("upperdir", upper());
            context.setDirectory("workdir", work());
            return context;
        } catch (SyscallException failure) {
            context.close();
            throw failure;
        }
    }

    OverlayLayers layers() {
        return new OverlayLayers(List.of(lower()), upper(), work());
    }

    Path lower() {
        return directory.resolve("lower");
    }

    Path upper() {
        return directory.resolve("upper");
    }

    Path work() {
        return directory.resolve("work");
    }

    Path merged() {
        return directory.resolve("merged");
    }
}
