package io.github.volatilesnapshotter.metadata;

import java.util.List;
import java.util.Optional;

/** An object as filters see it: text in named fields. */
@FunctionalInterface
public interface Fields {
    /**
     * The field's text, empty if the object has no such field (a field whose text is "" is there).
     *
     * @param path at least one element; {@code labels.a.b} comes as {@code [labels, a, b]}
     */
    Optional<String> field(List<String> path);
}
