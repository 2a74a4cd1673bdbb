package io.github.volatilesnapshotter.grpc;

import com.google.protobuf.MessageLite;
import io.grpc.ForwardingServerCallListener.SimpleForwardingServerCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.Marshaller;
import io.grpc.MethodDescriptor.PrototypeMarshaller;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerMethodDefinition;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Answers bytes that are no message with INVALID_ARGUMENT. By itself grpc-java parses before any interceptor runs, and answers
 * UNKNOWN ("Application error processing RPC"): a client's mistake that would look like ours.
 *
 * <p>So the parser is told to give a marked message instead of throwing, and the mark is looked for where the message arrives. ({@code
 * ServerInterceptors.useInputStreamMessages} does it without a mark, but costs a fifth of a call's processor time.)
 */
final class MalformedRequests {
    private MalformedRequests() {}

    /** The same service, whose methods refuse what is no message. */
    static ServerServiceDefinition refusedBy(ServerServiceDefinition service) {
        List<ServerMethodDefinition<?, ?>> methods = new ArrayList<>();
        for (ServerMethodDefinition<?, ?> method : service.getMethods()) {
            methods.add(refusedBy(method));
        }
        ServiceDescriptor.Builder descriptor = ServiceDescriptor.newBuilder(
                        service.getServiceDescriptor().getName())
                .setSchemaDescriptor(service.getServiceDescriptor().getSchemaDescriptor());
        methods.forEach(method -> descriptor.addMethod(method.getMethodDescriptor()));
        ServerServiceDefinition.Builder definition = ServerServiceDefinition.builder(descriptor.build());
        methods.forEach(definition::addMethod);
        return definition.build();
    }

    private static <Q, A> ServerMethodDefinition<Q, A> refusedBy(ServerMethodDefinition<Q, A> method) {
        MethodDescriptor<Q, A> descriptor = method.getMethodDescriptor();
        MarkingMarshaller<Q> marshaller =
                new MarkingMarshaller<>((PrototypeMarshaller<Q>) descriptor.getRequestMarshaller());
        ServerCallHandler<Q, A> handler = method.getServerCallHandler();
        return ServerMethodDefinition.create(
                descriptor.toBuilder().setRequestMarshaller(marshaller).build(),
                (call, headers) ->
                        new RefusingListener<>(call, handler.startCall(call, headers), marshaller.malformed));
    }

    /** Parses what is no message into {@link #malformed}, which is told from every other message by its identity. */
    private static final class MarkingMarshaller<Q> implements Marshaller<Q> {
        private final PrototypeMarshaller<Q> marshaller;
        private final Q malformed;

        MarkingMarshaller(PrototypeMarshaller<Q> marshaller) {
            this.marshaller = marshaller;
            Object prototype = Objects.requireNonNull(marshaller.getMessagePrototype());
            this.malformed = marshaller
                    .getMessageClass()
                    .cast(((MessageLite) prototype).newBuilderForType().build());
        }

        @Override
        public InputStream stream(Q message) {
            return marshaller.stream(message);
        }

        @Override
        public Q parse(InputStream bytes) {
            try {
                return marshaller.parse(bytes);
            } catch (StatusRuntimeException e) {
                return malformed;
            }
        }
    }

    private static final class RefusingListener<Q> extends SimpleForwardingServerCallListener<Q> {
        private final ServerCall<Q, ?> call;
        private final Q malformed;
        private boolean refused;

        RefusingListener(ServerCall<Q, ?> call, ServerCall.Listener<Q> listener, Q malformed) {
            super(listener);
            this.call = call;
            this.malformed = malformed;
        }

        @Override
        @SuppressWarnings("ReferenceEquality") // an empty message equals the mark, and is none
        public void onMessage(Q message) {
            if (message == malformed) {
                refused = true;
                call.close(
                        Status.INVALID_ARGUMENT.withDescription("malformed request: the bytes are no "
                                + message.getClass().getSimpleName()),
                        new Metadata());
            } else {
                super.onMessage(message);
            }
        }

        @Override
        public void onHalfClose() {
            // The service has no message, and would close the call a second time for it.
            if (!refused) {
                super.onHalfClose();
            }
        }
    }
}
