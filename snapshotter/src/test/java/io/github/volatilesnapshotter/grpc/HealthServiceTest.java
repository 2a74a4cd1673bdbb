package io.github.volatilesnapshotter.grpc;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;

import io.github.volatilesnapshotter.proto.health.v1.HealthCheckRequest;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckResponse;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckResponse.ServingStatus;
import io.github.volatilesnapshotter.proto.health.v1.HealthGrpc;
import io.github.volatilesnapshotter.snapshot.FakeSnapshotter;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(30)
class HealthServiceTest {
    private static final String SNAPSHOTS = "containerd.services.snapshots.v1.Snapshots";

    @TempDir
    private Path directory;

    private ServerFixture fixture;
    private HealthGrpc.HealthBlockingStub client;

    @BeforeEach
    void serve() throws IOException {
        fixture = new ServerFixture(directory, new FakeSnapshotter());
        client = HealthGrpc.newBlockingStub(fixture.connect());
    }

    @AfterEach
    void stop() throws IOException {
        fixture.close();
    }

    @ParameterizedTest
    @ValueSource(strings = {"", SNAPSHOTS})
    void check_answers_what_was_set(String service) {
        assertThat(client.check(request(service)).getStatus()).isEqualTo(ServingStatus.SERVING);

        fixture.server.setServing(false);

        assertThat(client.check(request(service)).getStatus()).isEqualTo(ServingStatus.NOT_SERVING);
        assertThat(fixture.server.isServing()).isFalse();
    }

    @Test
    void check_of_an_unknown_service_is_not_found() {
        assertThatExceptionOfType(StatusRuntimeException.class)
                .isThrownBy(() -> client.check(request("nobody")))
                .satisfies(e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.NOT_FOUND));
    }

    @Test
    void watch_tells_the_state_and_every_change() {
        Iterator<HealthCheckResponse> watch = client.watch(request(SNAPSHOTS));

        assertThat(watch.next().getStatus()).isEqualTo(ServingStatus.SERVING);
        fixture.server.setServing(false);
        assertThat(watch.next().getStatus()).isEqualTo(ServingStatus.NOT_SERVING);
        fixture.server.setServing(true);
        assertThat(watch.next().getStatus()).isEqualTo(ServingStatus.SERVING);
    }

    @Test
    void watch_of_an_unknown_service_says_so_and_stays_open() {
        Iterator<HealthCheckResponse> watch = client.watch(request("nobody"));

        assertThat(watch.next().getStatus()).isEqualTo(ServingStatus.SERVICE_UNKNOWN);
    }

    @Test
    void a_watch_does_not_hold_up_a_stop() throws Exception {
        Iterator<HealthCheckResponse> watch = client.watch(request(""));
        watch.next();

        assertThat(fixture.stop(20_000)).isTrue();

        assertThat(watch.next().getStatus()).isEqualTo(ServingStatus.NOT_SERVING);
        assertThatExceptionOfType(StatusRuntimeException.class)
                .isThrownBy(watch::hasNext)
                .satisfies(e -> assertThat(e.getStatus().getCode()).isEqualTo(Status.Code.UNAVAILABLE));
    }

    @Test
    void one_watch_too_many_is_refused() {
        List<Iterator<HealthCheckResponse>> watches = new ArrayList<>();
        for (int i = 0; i < HealthService.MAXIMUM_WATCHES; i++) {
            watches.add(client.watch(request("")));
        }
        watches.forEach(Iterator::next);

        assertThatExceptionOfType(StatusRuntimeException.class)
                .isThrownBy(() -> client.watch(request("")).next())
                .withMessageContaining("too many health watches");
    }

    private static HealthCheckRequest request(String service) {
        return HealthCheckRequest.newBuilder().setService(service).build();
    }
}
