package io.github.volatilesnapshotter.snapshot;

import org.jspecify.annotations.Nullable;

/**
 * A request that was refused or failed. The message is for the client: it names the key and the reason. The category decides
 * the gRPC status, in one place of the {@code grpc} room.
 */
public final class SnapshotException extends Exception {
    /** Why, in the words that containerd tells errors apart by. */
    public enum Category {
        NOT_FOUND,
        ALREADY_EXISTS,
        INVALID_ARGUMENT,
        FAILED_PRECONDITION,
        /** A passing fault of the machine, a bound that was reached or a disk that is full: the same call may succeed later. */
        UNAVAILABLE,
        DEADLINE_EXCEEDED,
        CANCELLED,
        /** A fault of this snapshotter; never the answer to a client's mistake. */
        INTERNAL
    }

    private static final long serialVersionUID = 1;

    private final Category category;

    public SnapshotException(Category category, String message) {
        this(category, message, null);
    }

    public SnapshotException(Category category, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.category = category;
    }

    public Category category() {
        return category;
    }
}
