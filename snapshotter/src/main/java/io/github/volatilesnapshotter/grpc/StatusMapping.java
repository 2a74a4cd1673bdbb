package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.snapshot.SnapshotException;
import io.grpc.Status;

/** The one place where a category of failure becomes a gRPC status. */
final class StatusMapping {
    private StatusMapping() {}

    /**
     * The status that containerd turns back into its own error (errgrpc {@code ToNative}). containerd 1.7 knows only the codes used
     * here, INTERNAL excepted.
     */
    static Status of(SnapshotException failure) {
        Status status = switch (failure.category()) {
            case NOT_FOUND -> Status.NOT_FOUND;
            case ALREADY_EXISTS -> Status.ALREADY_EXISTS;
            case INVALID_ARGUMENT -> Status.INVALID_ARGUMENT;
            case FAILED_PRECONDITION -> Status.FAILED_PRECONDITION;
            case UNAVAILABLE -> Status.UNAVAILABLE;
            case DEADLINE_EXCEEDED -> Status.DEADLINE_EXCEEDED;
            case CANCELLED -> Status.CANCELLED;
            case INTERNAL -> Status.INTERNAL;
        };
        return status.withDescription(failure.getMessage());
    }
}
