package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What a client may do to labels: containerd's rules of Update, and ours for the labels that are not the client's. */
final class LabelChange {
    /** Shown by us, never stored: a client that writes back what it has read does not make them its own. */
    private static final Set<String> NOT_STORED = Set.of(Labels.POISONED, Labels.POISONED_AT, Labels.GENERATION);

    private static final String ALL = "labels";
    private static final String ONE = "labels.";

    private LabelChange() {}

    /** The labels that are stored when a client gives {@code labels}: an empty value is no label. */
    static Map<String, String> stored(Map<String, String> labels) {
        Map<String, String> stored = new HashMap<>(labels);
        stored.keySet().removeAll(NOT_STORED);
        stored.values().removeIf(String::isEmpty);
        return Map.copyOf(stored);
    }

    /**
     * @param given the labels in the request
     * @param fieldPaths {@code labels} for all, {@code labels.<key>} for one, which is deleted if it is not given; empty for all
     */
    static Map<String, String> apply(
            String key, Map<String, String> current, Map<String, String> given, List<String> fieldPaths)
            throws SnapshotException {
        if (fieldPaths.isEmpty()) {
            return stored(given);
        }
        Map<String, String> changed = new HashMap<>(current);
        for (String path : fieldPaths) {
            if (path.equals(ALL)) {
                changed.clear();
                changed.putAll(given);
            } else if (path.startsWith(ONE) && path.length() > ONE.length()) {
                String label = path.substring(ONE.length());
                changed.put(label, given.getOrDefault(label, ""));
            } else {
                throw new SnapshotException(
                        Category.INVALID_ARGUMENT,
                        "snapshot " + key + ": cannot update field \"" + path + "\", only labels");
            }
        }
        return stored(changed);
    }
}
