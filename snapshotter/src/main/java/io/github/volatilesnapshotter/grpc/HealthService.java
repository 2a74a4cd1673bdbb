package io.github.volatilesnapshotter.grpc;

import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckRequest;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckResponse;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckResponse.ServingStatus;
import io.github.volatilesnapshotter.proto.health.v1.HealthGrpc;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The gRPC health checking protocol, for the whole server ({@code ""}) and the Snapshots service, which are well or ill together.
 * Answers from memory, on the event loop.
 */
final class HealthService extends HealthGrpc.HealthImplBase {
    /** Watches that may be open at once; the next one is refused. */
    static final int MAXIMUM_WATCHES = 128;

    private static final Set<String> SERVICES = Set.of("", SnapshotsGrpc.SERVICE_NAME);

    private final Set<Watch> watches = new LinkedHashSet<>();
    private ServingStatus status = ServingStatus.NOT_SERVING;
    private boolean stopped;

    /** Tells every watch when the state changes. */
    synchronized void setServing(boolean serving) {
        status = serving && !stopped ? ServingStatus.SERVING : ServingStatus.NOT_SERVING;
        watches.forEach(Watch::tell);
    }

    synchronized boolean isServing() {
        return status == ServingStatus.SERVING;
    }

    /** Turns NOT_SERVING for good and ends every watch, which would outlast any graceful stop. */
    synchronized void stop() {
        stopped = true;
        setServing(false);
        for (Watch watch : List.copyOf(watches)) {
            watches.remove(watch);
            watch.call.onError(Status.UNAVAILABLE
                    .withDescription("the snapshotter is stopping")
                    .asRuntimeException());
        }
    }

    @Override
    public void check(HealthCheckRequest request, StreamObserver<HealthCheckResponse> answer) {
        if (!SERVICES.contains(request.getService())) {
            answer.onError(Status.NOT_FOUND
                    .withDescription("unknown service " + request.getService())
                    .asRuntimeException());
            return;
        }
        answer.onNext(response(statusOf(request.getService())));
        answer.onCompleted();
    }

    /** An unknown service is watched as SERVICE_UNKNOWN, as the protocol asks: it might be added later. */
    @Override
    public synchronized void watch(HealthCheckRequest request, StreamObserver<HealthCheckResponse> answer) {
        Watch watch = new Watch(request.getService(), (ServerCallStreamObserver<HealthCheckResponse>) answer);
        if (stopped || watches.size() >= MAXIMUM_WATCHES) {
            answer.onError(Status.UNAVAILABLE
                    .withDescription(stopped ? "the snapshotter is stopping" : "too many health watches")
                    .asRuntimeException());
            return;
        }
        watch.call.setOnCancelHandler(() -> forget(watch));
        watch.call.setOnReadyHandler(() -> ready(watch));
        watches.add(watch);
        watch.tell();
    }

    private synchronized ServingStatus statusOf(String service) {
        return SERVICES.contains(service) ? status : ServingStatus.SERVICE_UNKNOWN;
    }

    private synchronized void forget(Watch watch) {
        watches.remove(watch);
    }

    private synchronized void ready(Watch watch) {
        if (watches.contains(watch)) {
            watch.tell();
        }
    }

    private static HealthCheckResponse response(ServingStatus status) {
        return HealthCheckResponse.newBuilder().setStatus(status).build();
    }

    /** One client's wish to be told. A client that does not read is told the latest state once it does. */
    private final class Watch {
        private final String service;
        private final ServerCallStreamObserver<HealthCheckResponse> call;
        private @Nullable ServingStatus told;

        Watch(String service, ServerCallStreamObserver<HealthCheckResponse> call) {
            this.service = service;
            this.call = call;
        }

        void tell() {
            ServingStatus now = statusOf(service);
            // The first message goes out at once: the call turns ready only after this method returned.
            if (now != told && (told == null || call.isReady())) {
                told = now;
                call.onNext(response(now));
            }
        }
    }
}
