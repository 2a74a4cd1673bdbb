package io.github.volatilesnapshotter.snapshot;

import java.util.List;

/**
 * One mount for the client to carry out, as containerd's {@code types.Mount}.
 *
 * @param type {@code bind} or {@code overlay}
 * @param source what is mounted: a directory for {@code bind}, the word {@code overlay} for {@code overlay}
 * @param options fstab style options, in order
 */
public record Mount(String type, String source, List<String> options) {
    public Mount {
        options = List.copyOf(options);
    }
}
