package io.github.volatilesnapshotter.metadata;

import java.util.HashMap;
import java.util.Map;

/**
 * One instance for each of the few texts that thousands of records repeat: label keys, pools, boot ids, superblocks. Bounded:
 * once it is full, new texts are passed through. Used by one thread at a time.
 */
final class SharedStrings {
    private static final int CAPACITY = 256;

    private final Map<String, String> known = new HashMap<>();

    String share(String text) {
        String same = known.get(text);
        if (same != null) {
            return same;
        }
        if (known.size() < CAPACITY) {
            known.put(text, text);
        }
        return text;
    }

    /** The record, equal in every respect, with shared texts. */
    SnapshotRecord share(SnapshotRecord record) {
        Upper upper = record.upper();
        return record.withPool(share(record.pool()))
                .withLabels(share(record.labels()))
                .withUpper(upper == null ? null : share(upper));
    }

    Upper share(Upper upper) {
        return new Upper(
                upper.role(),
                share(upper.pool()),
                share(upper.bootId()),
                share(upper.superblock()),
                upper.generation());
    }

    private Map<String, String> share(Map<String, String> labels) {
        if (labels.isEmpty()) {
            return labels;
        }
        Map<String, String> shared = HashMap.newHashMap(labels.size());
        labels.forEach((key, value) -> shared.put(share(key), value));
        return shared;
    }
}
