package io.github.volatilesnapshotter.grpc;

import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerInterceptor;
import io.grpc.ServerInterceptors;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;

/**
 * Answers bytes that are no message with INVALID_ARGUMENT. By itself grpc-java parses before any interceptor runs, and answers
 * UNKNOWN ("Application error processing RPC"): a client's mistake that would look like ours.
 */
final class MalformedRequests implements ServerInterceptor {
    private MalformedRequests() {}

    /** The same service, whose messages are parsed within this interceptor. */
    static ServerServiceDefinition refusedBy(ServerServiceDefinition service) {
        return ServerInterceptors.intercept(
                ServerInterceptors.useInputStreamMessages(service), new MalformedRequests());
    }

    @Override
    public <Q, A> ServerCall.Listener<Q> interceptCall(
            ServerCall<Q, A> call, Metadata headers, ServerCallHandler<Q, A> next) {
        return new SimpleForwardingServerCallListener<>(next.startCall(call, headers)) {
            private boolean malformed;

            @Override
            public void onMessage(Q message) {
                try {
                    super.onMessage(message);
                } catch (StatusRuntimeException e) {
                    malformed = true;
                    call.close(
                            Status.INVALID_ARGUMENT
                                    .withDescription("malformed request: "
                                            + e.getStatus().getDescription())
                                    .withCause(e),
                            new Metadata());
                }
            }

            @Override
            public void onHalfClose() {
                // The service has no message, and would close the call a second time for it.
                if (!malformed) {
                    super.onHalfClose();
                }
            }
        };
    }
}
