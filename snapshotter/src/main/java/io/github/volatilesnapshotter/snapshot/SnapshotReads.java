package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.Filter;
import io.github.volatilesnapshotter.metadata.FilterSyntaxException;
import io.github.volatilesnapshotter.metadata.Filters;
import io.github.volatilesnapshotter.metadata.RecordedUsage;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What is told of snapshots, without changing one: Stat, List and Usage. Waits for nobody; any thread. */
final class SnapshotReads {
    private final SnapshotStore store;
    private final Infos infos;
    private final Usages usages;

    SnapshotReads(SnapshotStore store, Infos infos, Usages usages) {
        this.store = store;
        this.infos = infos;
        this.usages = usages;
    }

    /** @throws SnapshotException NOT_FOUND if there is none */
    SnapshotRecord find(String key) throws SnapshotException {
        return store.find(key).orElseThrow(() -> Failures.notFound(key));
    }

    /**
     * To be called after the poison of a snapshot was looked for: where it was removed meanwhile there is none to be found any more, and an
     * answer without it would be one that was never true.
     *
     * @throws SnapshotException NOT_FOUND if it was removed since its record was read
     */
    void requireThere(SnapshotRecord snapshot) throws SnapshotException {
        if (store.find(snapshot.id()).isEmpty()) {
            throw Failures.notFound(snapshot.key());
        }
    }

    /** As clients see it, with its parent's name. */
    SnapshotInfo info(SnapshotRecord snapshot) {
        return infos.of(snapshot, store.keyOf(snapshot.parentId()).orElse(""));
    }

    Iterator<SnapshotInfo> list(List<String> filters) throws SnapshotException {
        Filter filter;
        try {
            filter = Filters.parse(filters);
        } catch (FilterSyntaxException e) {
            throw new SnapshotException(Category.INVALID_ARGUMENT, "filters " + filters + ": " + e.getMessage(), e);
        }
        List<SnapshotRecord> all = store.all();
        Map<Long, String> names = HashMap.newHashMap(all.size());
        all.forEach(snapshot -> names.put(snapshot.id(), snapshot.key()));
        return all.stream()
                .map(snapshot -> infos.of(snapshot, names.getOrDefault(snapshot.parentId(), "")))
                .filter(info -> filter.matches(Infos.fields(info)))
                .iterator();
    }

    Optional<Usage> recordedUsage(String key) throws SnapshotException {
        return recordedUsage(find(key));
    }

    private static Optional<Usage> recordedUsage(SnapshotRecord snapshot) {
        RecordedUsage usage = snapshot.usage();
        return switch (snapshot.kind()) {
            case VIEW -> Optional.of(new Usage(0, 0));
            case COMMITTED ->
                Optional.of(usage == null ? new Usage(0, 0) : new Usage(usage.sizeBytes(), usage.inodes()));
            case ACTIVE -> Optional.empty();
        };
    }

    Usage usage(String key, Cancellation cancellation) throws SnapshotException {
        SnapshotRecord snapshot = find(key);
        Optional<Usage> recorded = recordedUsage(snapshot);
        return recorded.isPresent() ? recorded.get() : usages.ofActive(snapshot.id(), key, cancellation);
    }
}
