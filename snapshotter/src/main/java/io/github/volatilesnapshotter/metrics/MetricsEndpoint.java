package io.github.volatilesnapshotter.metrics;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.BindException;
import java.net.InetSocketAddress;
import java.net.Proxy;
import java.net.URI;
import java.net.URISyntaxException;
import java.net.URLConnection;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.SynchronousQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * Metrics and probes over HTTP: {@code /metrics} (Prometheus text 0.0.4), {@code /healthz} (200 while the process answers) and
 * {@code /readyz} (200 while the snapshotter serves, else 503). Answers on at most {@value #THREADS} threads of its own; who comes while
 * all of them are held is closed. A client that stalls within its request or its answer is cut off after
 * {@value #STALL_SECONDS} seconds; until then it holds one of the threads.
 */
public final class MetricsEndpoint implements AutoCloseable {
    static final int THREADS = 16;
    static final int STALL_SECONDS = 5;

    private static final int BACKLOG = 16;
    private static final long IDLE_SECONDS = 30;

    static {
        // Without them jdk.httpserver waits for ever. It reads them once, in seconds, when its first class is loaded:
        // after
        // this. A flag of the command line stands.
        for (String limit : List.of("sun.net.httpserver.maxReqTime", "sun.net.httpserver.maxRspTime")) {
            if (System.getProperty(limit) == null) {
                System.setProperty(limit, Integer.toString(STALL_SECONDS));
            }
        }
    }

    private static final int MOST_ANSWER_BYTES = 1 << 20;

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
     * @throws IOException if the address cannot be bound; the message names it, for people
     */
    public static MetricsEndpoint start(InetSocketAddress address, Metrics metrics, BooleanSupplier ready)
            throws IOException {
        HttpServer server = bind(address);
        ThreadPoolExecutor executor = new ThreadPoolExecutor(
                0,
                THREADS,
                IDLE_SECONDS,
                TimeUnit.SECONDS,
                new SynchronousQueue<>(),
                Thread.ofPlatform().name("metrics-http-", 0).daemon().factory());
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

    /** Whether metrics of this project's are served there. The time is that to connect, and for each part of the answer. */
    public static boolean isServedAt(InetSocketAddress address, int timeoutMillis) {
        if (address.isUnresolved()) {
            return false;
        }
        try {
            String host = address.getAddress().getHostAddress();
            URLConnection connection = new URI("http", null, host, address.getPort(), "/metrics", null, null)
                    .toURL()
                    .openConnection(Proxy.NO_PROXY);
            connection.setConnectTimeout(timeoutMillis);
            connection.setReadTimeout(timeoutMillis);
            try (InputStream answer = connection.getInputStream()) {
                return new String(answer.readNBytes(MOST_ANSWER_BYTES), StandardCharsets.UTF_8)
                        .contains("volatile_snapshotter_");
            }
        } catch (IOException | URISyntaxException _) {
            return false;
        }
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

    private static HttpServer bind(InetSocketAddress address) throws IOException {
        String where = address.getHostString() + ":" + address.getPort();
        if (address.isUnresolved()) {
            throw new BindException("metrics address " + where + ": the host is not known; give another one");
        }
        try {
            return HttpServer.create(address, BACKLOG);
        } catch (IOException e) {
            BindException failure = new BindException("metrics address " + where + " can't be served on: "
                    + e.getMessage() + "; give another one, or end the process that listens there");
            failure.initCause(e);
            throw failure;
        }
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
