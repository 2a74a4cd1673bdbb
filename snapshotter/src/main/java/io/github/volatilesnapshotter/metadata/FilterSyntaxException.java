package io.github.volatilesnapshotter.metadata;

/** A filter expression that containerd's grammar does not allow. The message shows the expression, the place and what was expected. */
public final class FilterSyntaxException extends Exception {
    private static final long serialVersionUID = 1;

    FilterSyntaxException(String message) {
        super(message);
    }
}
