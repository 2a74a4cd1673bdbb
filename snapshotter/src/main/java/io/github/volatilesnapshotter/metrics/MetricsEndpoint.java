package io.github.volatilesnapshotter.metrics;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * Metrics and probes over HTTP: {@code /metrics} (Prometheus text 0.0.4), {@code /healthz} (200 while the process answers) and
 * {@code /readyz} (200 while the snapshotter serves, else 503). Answers on one thread of its own; what does not fit into the queue
 * of {@value #QUEUE_LENGTH} connections is closed.
 */
public final class MetricsEndpoint implements AutoCloseable {
    private static final int QUEUE_LENGTH = 16;
    private static final int BACKLOG = 16;

    private final HttpServer server;
    private final ThreadPoolExecutor executor;

    private MetricsEndpoint(HttpServer server, ThreadPoolExecutor executor) {
        this.server = server;
        this.executor = executor;
    }

    /**
     * Starts to serve.
     *
     * @param ready asked for each {@code /readyz}, must not block
     * @throws IOException if the address cannot be bound
     */
    public static MetricsEndpoint start(InetSocketAddress address, Metrics metrics, BooleanSupplier ready)
            throws IOException {
        HttpServer server = HttpServer.create(address, BACKLOG);
        ThreadPoolExecutor executor =
                new ThreadPoolExecutor(1, 1, 0, TimeUnit.SECONDS, new ArrayBlockingQueue<>(QUEUE_LENGTH), task -> {
                    Thread thread = new Thread(task, "metrics-http");
                    thread.setDaemon(true);
                    return thread;
                });
        server.setExecutor(executor);
        serve(
                server,
                "/metrics",
                () -> new Answer(200, "text/plain; version=0.0.4; charset=utf-8", metrics.prometheusText()));
        serve(server, "/healthz", () -> Answer.plain(200, "ok\n"));
        serve(
                server,
                "/readyz",
                () -> ready.getAsBoolean() ? Answer.plain(200, "ok\n") : Answer.plain(503, "not serving\n"));
        server.start();
        return new MetricsEndpoint(server, executor);
    }

    /** The address that is listened on; its port is the real one where port 0 was asked for. */
    public InetSocketAddress address() {
        return server.getAddress();
    }

    @Override
    public void close() {
        server.stop(0);
        executor.shutdownNow();
    }

    private static void serve(HttpServer server, String path, Supplier<Answer> answers) {
        server.createContext(path, exchange -> {
            try (exchange) {
                respond(exchange, path, answers);
            }
        });
    }

    private static void respond(HttpExchange exchange, String path, Supplier<Answer> answers) throws IOException {
        String method = exchange.getRequestMethod();
        // A context matches every path that begins with its own.
        if (!exchange.getRequestURI().getPath().equals(path)) {
            exchange.sendResponseHeaders(404, -1);
            return;
        }
        if (!method.equals("GET") && !method.equals("HEAD")) {
            exchange.getResponseHeaders().set("Allow", "GET, HEAD");
            exchange.sendResponseHeaders(405, -1);
            return;
        }
        Answer answer = answers.get();
        byte[] body = answer.body.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().set("Content-Type", answer.contentType);
        if (method.equals("HEAD")) {
            exchange.sendResponseHeaders(answer.status, -1);
            return;
        }
        exchange.sendResponseHeaders(answer.status, body.length);
        try (OutputStream out = exchange.getResponseBody()) {
            out.write(body);
        }
    }

    private record Answer(int status, String contentType, String body) {
        static Answer plain(int status, String body) {
            return new Answer(status, "text/plain; charset=utf-8", body);
        }
    }
}
