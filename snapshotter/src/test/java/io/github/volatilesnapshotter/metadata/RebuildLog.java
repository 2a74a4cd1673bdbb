package io.github.volatilesnapshotter.metadata;

import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.awaitility.Awaitility;

/** Keeps what a store tells of writing its file anew. */
final class RebuildLog implements StoreObserver {
    private static final Duration BOUND = Duration.ofSeconds(30);

    private final List<MetadataException> refusals = new CopyOnWriteArrayList<>();
    private final List<Integer> failedAttempts = new CopyOnWriteArrayList<>();
    private final List<Long> rebuilt = new CopyOnWriteArrayList<>();

    @Override
    public void writesRefused(MetadataException failure) {
        refusals.add(failure);
    }

    @Override
    public void rebuildFailed(MetadataException failure, int attempt) {
        failedAttempts.add(attempt);
    }

    @Override
    public void rebuilt(long refusedNanos) {
        rebuilt.add(refusedNanos);
    }

    List<MetadataException> refusals() {
        return refusals;
    }

    List<Integer> failedAttempts() {
        return failedAttempts;
    }

    void awaitFailedAttempts(int count) {
        Awaitility.await().atMost(BOUND).until(() -> failedAttempts.size() >= count);
    }

    void awaitRebuilt() {
        Awaitility.await().atMost(BOUND).until(() -> !rebuilt.isEmpty());
    }
}
