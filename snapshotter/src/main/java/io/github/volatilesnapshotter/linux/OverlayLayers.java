package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What an overlay is made of.
 *
 * @param lower at least one, uppermost first
 * @param upper null for an overlay that cannot be written to
 * @param work an empty directory beside the upper, on the same mount; null exactly if there is no upper
 */
public record OverlayLayers(
        List<Path> lower, @Nullable Path upper, @Nullable Path work) {
    public OverlayLayers {
        lower = List.copyOf(lower);
        if (lower.isEmpty()) {
            throw new IllegalArgumentException("an overlay needs a lower layer");
        }
        if ((upper == null) != (work == null)) {
            throw new IllegalArgumentException("upper and work come together");
        }
    }
}
