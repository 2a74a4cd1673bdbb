package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** A volatile overlay with all of its directories in one. It is unmounted with the disk. */
record VolatileOverlay(Path upper, Path merged) {
    /** Makes the directories, unless they are there. */
    static void prepare(Path directory) throws IOException {
        for (String name : new String[] {"lower", "upper", "work", "merged"}) {
            Files.createDirectories(directory.resolve(name));
        }
    }

    static VolatileOverlay mount(Path directory) throws IOException {
        prepare(directory);
        Path upper = directory.resolve("upper");
        Path merged = directory.resolve("merged");
        String options = "volatile,lowerdir=%s,upperdir=%s,workdir=%s"
                .formatted(directory.resolve("lower"), upper, directory.resolve("work"));
        Command.run("mount", "-t", "overlay", "-o", options, "overlay", merged.toString());
        return new VolatileOverlay(upper, merged);
    }
}
