package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.OverlayLayers;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** A volatile overlay of the test's own: what the kernel says to somebody whom no daemon has anything to do with. */
record Observer(VolatileOverlay overlay) implements AutoCloseable {
    /** @throws IOException EIO if the disk has a writeback error that nobody has seen */
    static Observer on(Disk disk, String name) throws IOException {
        Path directory = Files.createDirectory(disk.root().resolve(name));
        for (String part : List.of("lower", "upper", "work", "merged")) {
            Files.createDirectory(directory.resolve(part));
        }
        Path merged = directory.resolve("merged");
        OverlayMounter.fsopen()
                .mount(
                        new OverlayLayers(
                                List.of(directory.resolve("lower")),
                                directory.resolve("upper"),
                                directory.resolve("work")),
                        true,
                        merged);
        return new Observer(VolatileOverlay.at(merged));
    }

    /** The writeback error that the disk had since this observer came, if any. */
    Optional<Errno> error() {
        return overlay.writebackError();
    }

    @Override
    public void close() throws IOException {
        overlay.detach();
    }
}
