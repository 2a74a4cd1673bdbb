package io.github.volatilesnapshotter.lab;

import java.io.IOException;

/**
 * A tracefs in which no instance can be made: as good as one that is locked down. It hides the machine's own from all of this mount
 * namespace until it is closed.
 */
public final class ReadOnlyTracefs implements AutoCloseable {
    private static final String PLACE = "/sys/kernel/tracing";

    private ReadOnlyTracefs() {}

    public static ReadOnlyTracefs mount() throws IOException {
        Command.run("mount", "-t", "tracefs", "tracefs", PLACE);
        ReadOnlyTracefs mounted = new ReadOnlyTracefs();
        Command.run("mount", "-o", "remount,bind,ro", PLACE);
        return mounted;
    }

    @Override
    public void close() throws IOException {
        Command.run("umount", PLACE);
    }
}
