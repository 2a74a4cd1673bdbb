package io.github.volatilesnapshotter.metrics;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatExceptionOfType;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class MetricsEndpointTest {
    private final Metrics metrics = new Metrics();
    private final AtomicBoolean ready = new AtomicBoolean();
    private final HttpClient client = HttpClient.newHttpClient();
    private MetricsEndpoint endpoint;

    @BeforeEach
    void serve() throws IOException {
        endpoint =
                MetricsEndpoint.start(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), metrics, ready::get);
    }

    @AfterEach
    void stop() {
        client.close();
        endpoint.close();
        metrics.close();
    }

    @Test
    void metrics_are_prometheus_text() throws Exception {
        metrics.lockTimedOut();

        HttpResponse<String> answer = get("/metrics");

        assertThat(answer.statusCode()).isEqualTo(200);
        assertThat(answer.headers().firstValue("Content-Type")).contains("text/plain; version=0.0.4; charset=utf-8");
        assertThat(answer.body()).contains("volatile_snapshotter_lock_timeouts_total 1.0");
    }

    @Test
    void healthz_answers_as_long_as_the_process_does() throws Exception {
        assertThat(get("/healthz").statusCode()).isEqualTo(200);
    }

    @Test
    void readyz_follows_the_service() throws Exception {
        assertThat(get("/readyz").statusCode()).isEqualTo(503);
        ready.set(true);
        assertThat(get("/readyz").statusCode()).isEqualTo(200);
    }

    @Test
    void nothing_else_is_there() throws Exception {
        assertThat(get("/").statusCode()).isEqualTo(404);
        assertThat(get("/metrics/more").statusCode()).isEqualTo(404);
    }

    @Test
    void only_reading_is_allowed() throws Exception {
        assertThat(send("POST", "/metrics").statusCode()).isEqualTo(405);
        assertThat(send("HEAD", "/metrics").statusCode()).isEqualTo(200);
    }

    @Test
    void clients_that_stall_are_cut_off_and_hold_up_another_one_no_longer_than_that() throws Exception {
        List<Socket> stalled = new ArrayList<>();
        try {
            stalled.add(connect(""));
            for (int i = 0; i < MetricsEndpoint.THREADS; i++) {
                stalled.add(connect("GET /metrics HTTP/1.1\r\nHost: x\r\n"));
            }
            long beganAtNanos = System.nanoTime();

            await().atMost(Duration.ofSeconds(20))
                    .ignoreExceptions()
                    .until(() -> get("/healthz").statusCode() == 200);

            // The clock of jdk.httpserver ticks once a second.
            assertThat(Duration.ofNanos(System.nanoTime() - beganAtNanos))
                    .isLessThan(Duration.ofSeconds(MetricsEndpoint.STALL_SECONDS + 5));
        } finally {
            for (Socket socket : stalled) {
                socket.close();
            }
        }
    }

    @Test
    void one_client_that_stalls_holds_up_nobody() throws Exception {
        try (Socket _ = connect("GET /metrics HTTP/1.1\r\n")) {
            long beganAtNanos = System.nanoTime();

            assertThat(get("/healthz").statusCode()).isEqualTo(200);

            assertThat(Duration.ofNanos(System.nanoTime() - beganAtNanos))
                    .isLessThan(Duration.ofSeconds(MetricsEndpoint.STALL_SECONDS - 1));
        }
    }

    @Test
    void an_address_that_can_not_be_served_on_is_named() {
        assertThatExceptionOfType(IOException.class)
                .isThrownBy(() -> MetricsEndpoint.start(endpoint.address(), metrics, ready::get))
                .withMessageContaining(
                        "metrics address 127.0.0.1:" + endpoint.address().getPort())
                .withMessageContaining("already in use; give another one");
        assertThatExceptionOfType(IOException.class)
                .isThrownBy(() -> MetricsEndpoint.start(
                        InetSocketAddress.createUnresolved("nowhere.invalid", 9), metrics, ready::get))
                .withMessageContaining("nowhere.invalid:9: the host is not known");
    }

    private Socket connect(String sent) throws IOException {
        Socket socket =
                new Socket(InetAddress.getLoopbackAddress(), endpoint.address().getPort());
        socket.getOutputStream().write(sent.getBytes(StandardCharsets.US_ASCII));
        return socket;
    }

    private HttpResponse<String> get(String path) throws Exception {
        return send("GET", path);
    }

    private HttpResponse<String> send(String method, String path) throws Exception {
        URI uri = URI.create("http://127.0.0.1:" + endpoint.address().getPort() + path);
        HttpRequest request = HttpRequest.newBuilder(uri)
                .method(method, HttpRequest.BodyPublishers.noBody())
                .build();
        return client.send(request, HttpResponse.BodyHandlers.ofString());
    }
}
