package io.github.volatilesnapshotter.snapshot;

import org.jspecify.annotations.Nullable;

/** The snapshotter can't start here. The message tells an operator what is wrong and what to do. */
public final class StartException extends Exception {
    private static final long serialVersionUID = 1;

    StartException(String message) {
        this(message, null);
    }

    StartException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
