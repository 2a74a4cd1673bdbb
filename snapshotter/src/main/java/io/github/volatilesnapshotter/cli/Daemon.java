package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.containerd.Reactor;
import io.github.volatilesnapshotter.grpc.UnixSocketServer;
import io.github.volatilesnapshotter.linux.NativeCalls;
import io.github.volatilesnapshotter.linux.Niceness;
import io.github.volatilesnapshotter.linux.OpenFileLimit;
import io.github.volatilesnapshotter.linux.UrgentThreads;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.metrics.MetricsEndpoint;
import io.github.volatilesnapshotter.snapshot.RunningSnapshotter;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.OnSickFileSystem;
import io.github.volatilesnapshotter.superblock.WatchSettings;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.FutureTask;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * The daemon from its parts: what is started is remembered, and stopped in the opposite order. A stop leaves every mount in
 * place, so that containers run on.
 */
final class Daemon {
    /** Where in its life the daemon is; it only moves forward. A start that is stopped or fails goes from STARTING to STOPPING. */
    enum State {
        LATENT,
        STARTING,
        SERVING,
        STOPPING,
        STOPPED
    }

    /** One part's stop. */
    @FunctionalInterface
    private interface Stop {
        void run() throws Exception;
    }

    /** The stop of a part that started beside the others. */
    @FunctionalInterface
    private interface StopOf<T> {
        void run(T part) throws Exception;
    }

    /** The daemon is to stop before its start has ended. */
    private static final class StoppedException extends Exception {
        private static final long serialVersionUID = 1;
    }

    private record Part(String name, Stop stop) {}

    /** containerd takes its own locks for longer; a request that waits this long for another one on its key is stuck. */
    private static final long KEY_WAIT_MILLIS = 30_000;

    private static final long CLEANUP_TIMEOUT_MILLIS = 60_000;
    private static final long EVENT_LOOPS_STOP_SECONDS = 2;

    /** Less than what systemd gives a stop. */
    private static final long START_STOP_SECONDS = 20;

    private static final Logger LOG = System.getLogger(Daemon.class.getName());

    private final Config config;
    private final boolean unmountOnStop;
    private final AtomicReference<State> state = new AtomicReference<>(State.LATENT);
    private final CountDownLatch stopped = new CountDownLatch(1);
    private final Deque<Part> parts = new ArrayDeque<>();
    private volatile @Nullable UnixSocketServer server;

    /** Those that read calls and answer what only reads: while an error is looked into and recorded, who asks should learn of it first. */
    private final UrgentThreads reads = new UrgentThreads();

    /**
     * @param unmountOnStop whether a stop detaches every overlay; for tests
     */
    Daemon(Config config, boolean unmountOnStop) {
        this.config = config;
        this.unmountOnStop = unmountOnStop;
    }

    State state() {
        return state.get();
    }

    /**
     * Starts every part; returns once requests are answered, or after a {@link #stop} that came meanwhile. What was started is
     * stopped again if a later part fails.
     *
     * @throws Exception what stopped the start; its message is for people
     */
    void start() throws Exception {
        if (!state.compareAndSet(State.LATENT, State.STARTING)) {
            throw new IllegalStateException("the daemon is " + state.get() + ", not " + State.LATENT);
        }
        try {
            startParts();
        } catch (StoppedException e) {
            stopPartsAndEnd(new Exception("the stop during the start was not clean"));
            return;
        } catch (Exception failure) {
            state.set(State.STOPPING);
            end(failure);
            throw failure;
        }
        if (!state.compareAndSet(State.STARTING, State.SERVING)) {
            stopPartsAndEnd(new Exception("the stop during the start was not clean"));
        }
    }

    /**
     * Stops every part, whatever happens to the others; a start that is under way ends after the part that it is at, and stops
     * what it has started. Returns at once if the daemon was stopped before.
     *
     * @throws Exception the first failure; later ones are suppressed in it
     */
    void stop() throws Exception {
        State before = state.getAndUpdate(Daemon::whenStopped);
        switch (before) {
            case LATENT -> stopped.countDown();
            case STARTING, STOPPING -> awaitEndOfStart();
            case SERVING -> stopPartsAndEnd(new Exception("the stop was not clean"));
            case STOPPED -> {}
        }
    }

    private static State whenStopped(State now) {
        return switch (now) {
            case LATENT, STOPPED -> State.STOPPED;
            case STARTING, SERVING, STOPPING -> State.STOPPING;
        };
    }

    private void awaitEndOfStart() throws InterruptedException, TimeoutException {
        if (!stopped.await(START_STOP_SECONDS, TimeUnit.SECONDS)) {
            throw new TimeoutException("the start did not end within " + START_STOP_SECONDS + " s");
        }
    }

    private void stopPartsAndEnd(Exception failures) throws Exception {
        end(failures);
        if (failures.getSuppressed().length > 0) {
            throw failures;
        }
    }

    private void end(Exception failures) {
        stopParts(failures);
        state.set(State.STOPPED);
        stopped.countDown();
    }

    void awaitStop() throws InterruptedException {
        stopped.await();
    }

    private void startParts() throws Exception {
        long begunAtNanos = System.nanoTime();
        // Loading and linking is most of a start. What needs nothing of the others does it beside them.
        new Thread(NativeCalls::link, "start-native-calls").start();
        Future<Metrics> metricsToCome = startBeside("metrics", Metrics::new, Metrics::close);
        EventLoopGroup eventLoops = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
        started("event loops", () -> stopEventLoops(eventLoops));
        eventLoops.execute(reads::enter);
        Metrics metrics = result(metricsToCome);
        metrics.queueLength("log", StandardErrorLog::waiting);
        metrics.logLinesDropped(StandardErrorLog::dropped);
        // Before the snapshotter changes anything: a port may be taken.
        if (config.metrics().address().isPresent()) {
            MetricsEndpoint endpoint =
                    MetricsEndpoint.start(config.metrics().address().get().resolve(), metrics, this::isServing);
            started("metrics endpoint", endpoint::close);
        }
        requireStarting();
        Reactor reactor = Reactor.start(config.containerd(), config.poison(), eventLoops, metrics);
        started("reactor", reactor::stop);
        Future<RunningSnapshotter> snapshotterToCome = startBeside(
                "snapshotter", () -> RunningSnapshotter.start(settings(), metrics, reactor), this::stopSnapshotter);
        UnixSocketServer opened = UnixSocketServer.open(
                config.socket(), config.grpc(), config.layers(), this::runThread, metrics, eventLoops);
        server = opened;
        started("server", () -> opened.stop(config.grpc().stopTimeoutMillis()));
        RunningSnapshotter snapshotter = result(snapshotterToCome);
        reactor.repeatWhilePoisonedIn(snapshotter.snapshotter());
        requireStarting();
        opened.serveControl(snapshotter::copyRecords);
        opened.serve(snapshotter.snapshotter());
        snapshotter.onError(reads::setUrgent);
        snapshotter.onState((superblock, condition) -> {
            opened.setServing(superblock.takesChanges());
            opened.diskIs(condition, superblock.answers());
        });
        ServiceReadiness readiness = new ServiceReadiness(System.getenv("NOTIFY_SOCKET"), eventLoops);
        readiness.tell(ServiceReadiness.READY);
        started("readiness", () -> readiness.tell(ServiceReadiness.STOPPING));
        LOG.log(
                Level.INFO,
                "ready",
                "socket",
                config.socket(),
                "root",
                config.root(),
                "device",
                snapshotter.device(),
                "start_millis",
                TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begunAtNanos));
    }

    private void requireStarting() throws StoppedException {
        if (state.get() != State.STARTING) {
            throw new StoppedException();
        }
    }

    private boolean isServing() {
        UnixSocketServer opened = server;
        return opened != null && opened.isServing();
    }

    private SnapshotterSettings settings() throws IOException {
        return new SnapshotterSettings(
                real(config.root()),
                real(config.state()),
                config.volatileUppers().byDefault(),
                config.layers().commitTimeoutMillis(),
                KEY_WAIT_MILLIS,
                CLEANUP_TIMEOUT_MILLIS,
                config.usage().cacheMillis(),
                switch (config.volatileUppers().onSick()) {
                    case DURABLE -> OnSickFileSystem.DURABLE;
                    case REFUSE -> OnSickFileSystem.REFUSE;
                },
                new WatchSettings(
                        config.watch().intervalMillis(),
                        config.watch().probeIntervalMillis(),
                        config.watch().probeTimeoutMillis()),
                layerSyncMode(config.layers().sync()),
                config.layers().earlyWritebackIntervalMillis(),
                SnapshotterSettings.mostOpenUppersFor(OpenFileLimit.current()));
    }

    static LayerSyncMode layerSyncMode(Config.Layers.Sync sync) {
        return switch (sync) {
            case AUTO -> LayerSyncMode.AUTO;
            case SYNCFS -> LayerSyncMode.SYNCFS;
            case TARGETED -> LayerSyncMode.TARGETED;
        };
    }

    /**
     * The path without symbolic links, whether it is there yet or not: a restarted daemon looks for its mounts in the kernel's list,
     * which has only such paths.
     */
    private static Path real(Path path) throws IOException {
        Path parent = path.getParent();
        if (parent == null || Files.exists(path)) {
            return path.toRealPath();
        }
        return real(parent).resolve(path.getFileName());
    }

    private void stopSnapshotter(RunningSnapshotter snapshotter) throws Exception {
        if (unmountOnStop) {
            snapshotter.closeAndUnmount();
        } else {
            snapshotter.close();
        }
    }

    private void runThread(boolean isOfReads, Runnable work) {
        if (isOfReads) {
            reads.runAsOne(work);
        } else {
            boolean _ = Niceness.takeShare();
            work.run();
        }
    }

    private void stopEventLoops(EventLoopGroup eventLoops) {
        eventLoops.execute(reads::leave);
        eventLoops
                .shutdownGracefully(0, EVENT_LOOPS_STOP_SECONDS, TimeUnit.SECONDS)
                .awaitUninterruptibly(EVENT_LOOPS_STOP_SECONDS, TimeUnit.SECONDS);
    }

    private void started(String name, Stop stop) {
        parts.push(new Part(name, stop));
    }

    /** Starts a part on a thread of its own. If that fails, the part's {@link #result} says so, and there is nothing to stop. */
    private <T> Future<T> startBeside(String name, Callable<T> start, StopOf<T> stop) {
        FutureTask<T> task = new FutureTask<>(start);
        started(name, () -> stopIfStarted(task, stop));
        new Thread(task, "start-" + name).start();
        return task;
    }

    private static <T> void stopIfStarted(FutureTask<T> task, StopOf<T> stop) throws Exception {
        T part;
        try {
            part = task.get();
        } catch (ExecutionException e) {
            LOG.log(Level.DEBUG, "part was never started", "failure", e.getCause());
            return;
        }
        stop.run(part);
    }

    private static <T> T result(Future<T> part) throws Exception {
        try {
            return part.get();
        } catch (ExecutionException e) {
            throw e.getCause() instanceof Exception cause ? cause : e;
        }
    }

    @SuppressWarnings("CatchingUnchecked") // one part that cannot be stopped must not keep the others running
    private void stopParts(Exception failures) {
        while (!parts.isEmpty()) {
            Part part = parts.pop();
            try {
                part.stop.run();
            } catch (Exception failure) {
                LOG.log(Level.ERROR, "part did not stop cleanly", "part", part.name, "failure", failure);
                failures.addSuppressed(failure);
            }
        }
    }
}
