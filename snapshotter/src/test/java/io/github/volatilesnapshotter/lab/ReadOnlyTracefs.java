package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A tracefs in which no instance can be made: as good as one that is locked down. It hides the machine's own from all of this mount
 * namespace until it is closed.
 */
public final class ReadOnlyTracefs implements AutoCloseable {
    private static final String PLACE = "/sys/kernel/tracing";

    private ReadOnlyTracefs() {}

    public static ReadOnlyTracefs mount() throws IOException {
        // The kernel refuses a second one in the same place, and most machines have one there.
        if (Files.exists(Path.of(PLACE, "instances"))) {
            Command.run("mount", "--bind", PLACE, PLACE);
        } else {
            Command.run("mount", "-t", "tracefs", "tracefs", PLACE);
        }
        ReadOnlyTracefs mounted = new ReadOnlyTracefs();
        Command.run("mount", "-o", "remount,bind,ro", PLACE);
        return mounted;
    }

    @Override
    public void close() throws IOException {
        Command.run("umount", PLACE);
    }
}
