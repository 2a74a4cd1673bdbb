package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.ChildJvm;
import io.github.volatilesnapshotter.cli.ContainerdVolatileGrpc;
import io.grpc.StatusRuntimeException;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarFile;
import java.util.stream.Stream;
import java.util.zip.CRC32;

/**
 * A snapshotter in a process of its own behind a unix socket: started, killed by SIGKILL, started again on the same root. One thread
 * starts and kills it; clients may be used by any.
 */
final class Peer implements AutoCloseable {
    private static final long START_SECONDS = 90;

    /**
     * A thread that waits for the commit of a btrfs whose wakeup was lost (linux.BtrfsCommit) waits for the next one, 30 s, once nobody is left to
     * wake it.
     */
    private static final long END_SECONDS = 60;

    private static final long POLL_MILLIS = 5;
    private static final int LOG_TAIL_LINES = 40;

    /** Which snapshotter it is. */
    enum Kind {
        OURS,
        /** containerd's overlayfs, served by {@code e2e/cmd/stock-snapshotter}. */
        STOCK
    }

    private final Kind kind;
    private final Path root;
    private final Path state;
    private final MultiThreadIoEventLoopGroup eventLoops =
            new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
    private final boolean treeIsFresh;
    private List<String> wrapper = List.of();
    private List<String> flags = List.of();
    private Process process;
    private long loggedBefore;

    private Peer(Kind kind, Path root, Path state) throws IOException {
        this.kind = kind;
        this.root = root;
        this.state = state;
        this.treeIsFresh = kind == Kind.OURS && isTreeFresh();
    }

    /**
     * The daemon of this project; {@link #start} starts it.
     *
     * @param root where its snapshots lie; made if it does not exist
     * @param state its runtime directory, which also holds its socket and its log
     */
    static Peer ours(Path root, Path state) throws IOException {
        return new Peer(Kind.OURS, root, state);
    }

    /**
     * The stock snapshotter, as {@link #ours}.
     *
     * @throws NoSuchFileException if it is not built: a comparison that is skipped would show nothing
     */
    static Peer stock(Path root, Path state) throws IOException {
        requireBuilt(stockProgram());
        return new Peer(Kind.STOCK, root, state);
    }

    static void requireBuilt(Path program) throws NoSuchFileException {
        if (!Files.isExecutable(program)) {
            throw new NoSuchFileException(
                    program + " is missing: run " + projectRoot().resolve("e2e/build-tools.sh"));
        }
    }

    private static Path stockProgram() {
        return projectRoot().resolve(".build/bin/stock-snapshotter");
    }

    static Peer of(Kind kind, Path root, Path state) throws IOException {
        return switch (kind) {
            case OURS -> ours(root, state);
            case STOCK -> stock(root, state);
        };
    }

    /** Has our daemon started with more flags; ignored by the stock one. */
    Peer with(String... more) {
        flags = List.of(more);
        return this;
    }

    /**
     * Has it started as after the next boot of the machine: in a mount namespace of its own, in which the kernel says another boot
     * id. What it mounts goes with it.
     *
     * @param bootId a file that holds the id
     */
    Peer afterBoot(Path bootId) {
        String script = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
        wrapper = List.of("unshare", "--mount", "sh", "-c", script, bootId.toString());
        return this;
    }

    Kind kind() {
        return kind;
    }

    boolean isOurs() {
        return kind == Kind.OURS;
    }

    Path root() {
        return root;
    }

    /** Below it lie {@code <id>/fs} and the rest of each snapshot. */
    Path snapshots() {
        return root.resolve("snapshots");
    }

    Path upper(long id) {
        return snapshots().resolve(Long.toString(id)).resolve("fs");
    }

    Path log() {
        return state.resolve("log");
    }

    /** Whether a process was started and has not ended. */
    boolean isAlive() {
        return process != null && process.isAlive();
    }

    /**
     * Starts it, and returns when it serves.
     *
     * @param javaOptions for our daemon's virtual machine; ignored by the stock one
     * @throws IOException with the end of its log, if it ended or does not serve within 90 s
     */
    void start(String... javaOptions) throws IOException {
        launch(javaOptions);
        if (!awaitServing()) {
            throw new IOException(kind + " ended at its start with " + process.exitValue() + ": " + logTail());
        }
    }

    /** Starts it, and returns at once. */
    void launch(String... javaOptions) throws IOException {
        if (isAlive()) {
            throw new IllegalStateException(kind + " runs already");
        }
        Files.createDirectories(root);
        Files.createDirectories(state);
        loggedBefore = log().toFile().length();
        List<String> options = new ArrayList<>(List.of(javaOptions));
        options.add("-D" + CrashPoint.PROPERTY + "=" + armed());
        ProcessBuilder builder = new ProcessBuilder(command(options));
        builder.environment().put("VOLATILE_SNAPSHOTTER_JAVA_OPTS", String.join(" ", options));
        builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
        process = builder.redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(log().toFile()))
                .start();
    }

    /**
     * Waits until it serves.
     *
     * @return false if it has ended
     * @throws IOException with the end of its log, if it does neither within 90 s
     */
    boolean awaitServing() throws IOException {
        long deadlineNanos = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (process.isAlive()) {
            if (isServing()) {
                return true;
            }
            if (System.nanoTime() > deadlineNanos) {
                kill();
                throw new IOException(kind + " does not serve within " + START_SECONDS + " s: " + logTail());
            }
            pause();
        }
        return false;
    }

    /** Its runtime directory. */
    Path state() {
        return state;
    }

    private boolean isServing() {
        try (SocketChannel _ = connect(socket())) {
            try (Client client = connect()) {
                client.list("name==nobody");
                return true;
            }
        } catch (StatusRuntimeException e) {
            // The stock one has no records yet, and says so.
            return !Client.isLost(e);
        } catch (IOException _) {
            return false;
        }
    }

    private static SocketChannel connect(Path socket) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            channel.connect(UnixDomainSocketAddress.of(socket));
            return channel;
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    /** A client of its own, to be closed by the caller. */
    Client connect() {
        return new Client(socket(), eventLoops);
    }

    /**
     * From now on our daemon, whether it runs or is to be started, ends by itself at a passage of the point. The stock one knows no points.
     *
     * @param passage 1 for the next
     */
    void arm(CrashPoint point, int passage) throws IOException {
        Path draft = armed().resolveSibling("crash.new");
        Files.writeString(draft, point.word() + " " + passage);
        Files.move(draft, armed(), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    /** No point from now on. */
    void disarm() throws IOException {
        Files.deleteIfExists(armed());
    }

    private Path armed() {
        return state.resolve("crash");
    }

    /** Ends the process by SIGKILL, if it lives, and returns when it is gone. */
    void kill() throws IOException {
        if (process != null) {
            process.destroyForcibly();
            awaitEnd();
        }
    }

    /** As {@link #kill}, by SIGTERM: mounts stay. */
    void stop() throws IOException {
        if (process != null) {
            process.destroy();
            awaitEnd();
        }
    }

    /** Waits until the process is gone; whether it is within the time. */
    boolean awaitEnd(long millis) throws IOException {
        try {
            return process.waitFor(millis, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while " + kind + " may end", e);
        }
    }

    /** Returns when the process is gone, by whose hand ever; fails after a minute. */
    void awaitEnd() throws IOException {
        try {
            if (!process.waitFor(END_SECONDS, TimeUnit.SECONDS)) {
                throw new IOException(kind + " has not ended within " + END_SECONDS + " s: " + logTail());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while " + kind + " ends", e);
        }
    }

    /** All that it has logged since it was last launched. */
    String loggedSinceLaunch() throws IOException {
        byte[] logged = Files.readAllBytes(log());
        return new String(logged, (int) loggedBefore, logged.length - (int) loggedBefore, StandardCharsets.UTF_8);
    }

    /** Where our daemon notes the last transaction of its records. */
    Path transactionNote() {
        return state.resolve("last-transaction");
    }

    /** The end of what it has logged. */
    String logTail() throws IOException {
        if (!Files.exists(log())) {
            return "no log";
        }
        List<String> lines = Files.readAllLines(log());
        return String.join("\n", lines.subList(Math.max(0, lines.size() - LOG_TAIL_LINES), lines.size()));
    }

    private Path socket() {
        return state.resolve("socket");
    }

    private List<String> command(List<String> javaOptions) {
        List<String> command = new ArrayList<>(wrapper);
        command.addAll(program(javaOptions));
        return command;
    }

    private List<String> program(List<String> javaOptions) {
        return switch (kind) {
            case OURS -> {
                List<String> command =
                        new ArrayList<>(treeIsFresh ? List.of(program().toString()) : java(javaOptions));
                command.addAll(List.of("serve", "--root", root.toString(), "--state", state.toString()));
                command.addAll(List.of("--address", socket().toString()));
                command.addAll(flags);
                yield command;
            }
            case STOCK ->
                List.of(stockProgram().toString(), "--root", root.toString(), "--address", socket().toString());
        };
    }

    /** As {@code lib/launch} does it, from the classes that are tested. */
    private static List<String> java(List<String> options) {
        List<String> all = new ArrayList<>(
                List.of("-XX:+UseSerialGC", "-Xmx48m", "-XX:-UsePerfData", "-Dio.netty.leakDetection.level=disabled"));
        all.addAll(options);
        return ChildJvm.command(ContainerdVolatileGrpc.class, all);
    }

    private static Path program() {
        return projectRoot().resolve("snapshotter/target/dist/bin/containerd-volatile-grpc");
    }

    private static Path projectRoot() {
        return Path.of(System.getProperty("project.root", ".")).toAbsolutePath().normalize();
    }

    /** The runnable tree starts twice as fast as the classes; if it is there, and made of the very same ones. */
    private static boolean isTreeFresh() throws IOException {
        Path classes = projectRoot().resolve("snapshotter/target/classes");
        Path jar = projectRoot().resolve("snapshotter/target/dist/lib/containerd-volatile-grpc.jar");
        if (!Files.isExecutable(program()) || !Files.exists(jar)) {
            return false;
        }
        Map<String, Long> jarred = new HashMap<>();
        try (JarFile file = new JarFile(jar.toFile())) {
            file.stream()
                    .filter(entry -> isClass(entry.getName()))
                    .forEach(entry -> jarred.put(entry.getName(), entry.getCrc()));
        }
        Map<String, Long> compiled = new HashMap<>();
        try (Stream<Path> files = Files.walk(classes)) {
            for (Path file : files.filter(path -> isClass(path.toString())).toList()) {
                CRC32 crc = new CRC32();
                crc.update(Files.readAllBytes(file));
                compiled.put(classes.relativize(file).toString(), crc.getValue());
            }
        }
        return jarred.equals(compiled);
    }

    private static boolean isClass(String name) {
        return name.endsWith(".class");
    }

    private static void pause() throws IOException {
        try {
            Thread.sleep(POLL_MILLIS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted", e);
        }
    }

    /** Kills it. Whatever is mounted stays: see {@link Traces}. */
    @Override
    public void close() throws IOException {
        try {
            kill();
            if (isOurs()) {
                Traces.removeErrorTraces(root());
            }
        } finally {
            eventLoops.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
        }
    }
}
