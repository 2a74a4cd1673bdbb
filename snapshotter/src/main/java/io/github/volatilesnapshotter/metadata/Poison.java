package io.github.volatilesnapshotter.metadata;

import java.time.Instant;
import java.util.List;

/**
 * Why a snapshot's content can no longer be trusted.
 *
 * @param reason short word, shown to clients as a label
 * @param errno name of the errno that the kernel reported, for example {@code EIO}; empty if there was none
 * @param device {@code major:minor} of the upper superblock
 * @param at when it was found; kept to the nanosecond
 * @param files those known to be hit anywhere on the superblock, as far as they could be named; texts for people
 */
public record Poison(String reason, String errno, String device, Instant at, List<String> files) {
    public Poison {
        files = List.copyOf(files);
    }

    public Poison withFiles(List<String> named) {
        return new Poison(reason, errno, device, at, named);
    }
}
