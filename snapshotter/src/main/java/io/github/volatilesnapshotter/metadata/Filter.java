package io.github.volatilesnapshotter.metadata;

/** Selects objects by their fields. Immutable; may be used by several threads. */
@FunctionalInterface
public interface Filter {
    boolean matches(Fields fields);
}
