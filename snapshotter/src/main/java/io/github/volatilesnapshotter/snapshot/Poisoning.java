package io.github.volatilesnapshotter.snapshot;

import java.time.Instant;

/**
 * A snapshot was poisoned; already recorded when listeners hear of it.
 *
 * @param namespace containerd's namespace, the part of the backend key before its first slash
 * @param clientKey what the client called the snapshot, the part after the second slash: for a container, its id
 * @param reason one of the reasons of {@code metadata.Poison}
 * @param device {@code major:minor} of the upper superblock
 * @param errno name of the errno that the kernel reported, for example {@code EIO}; empty if there was none
 * @param generation how often the upper had been thrown away before
 */
public record Poisoning(
        String key,
        String namespace,
        String clientKey,
        String reason,
        String device,
        String errno,
        Instant at,
        long generation) {

    /** Told of new poison, on a thread that must not be blocked. */
    @FunctionalInterface
    public interface Listener {
        void poisoned(Poisoning poisoning);
    }
}
