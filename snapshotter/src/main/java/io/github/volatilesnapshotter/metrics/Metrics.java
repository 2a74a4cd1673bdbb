package io.github.volatilesnapshotter.metrics;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.Tag;
import io.micrometer.core.instrument.Timer;
import io.micrometer.prometheusmetrics.PrometheusConfig;
import io.micrometer.prometheusmetrics.PrometheusMeterRegistry;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * What the daemon counts and measures. Every method may be called from any thread, costs well under a microsecond and never
 * fails; durations are given in nanoseconds, as differences of {@link System#nanoTime()}.
 *
 * <p>Label values come from enums, or from strings of which the first {@value #MAXIMUM_LABEL_VALUES} different ones are kept;
 * later ones are counted as {@value #OTHER}, so that no client can grow the number of time series.
 */
public final class Metrics implements AutoCloseable {
    static final int MAXIMUM_LABEL_VALUES = 64;
    static final String OTHER = "other";
    private static final String WHOLE = "whole";
    private static final String CUT = "cut";

    /** What a snapshot is to this daemon; each snapshot has exactly one. */
    public enum Role {
        VIEW,
        DURABLE,
        VOLATILE,
        COMMITTED,
        POISONED
    }

    /** What a metadata transaction waits for. */
    public enum Durability {
        /** The disk has it. */
        DURABLE,
        /** The kernel has it, in order with the durable ones. */
        ORDERED
    }

    /** What came of one Cleanup. */
    public enum CleanupOutcome {
        /** What was thrown away before it is deleted. */
        DONE,
        /** Something is left for later: there was more than fits into its time, or it can't be deleted now. */
        LEFT
    }

    /** What came of one removal whose record had no room. */
    public enum FullDiskOutcome {
        /** What was deleted has made room, and it is recorded. */
        DONE,
        /** The directory is gone or withdrawn, the record is there. */
        REFUSED
    }

    /** What came of one attempt to write all metadata anew after a failure. */
    public enum RebuildOutcome {
        /** Changes are accepted again. */
        DONE,
        /** It is tried again. */
        FAILED
    }

    /** What came of the wish to kill the container on a poisoned snapshot. */
    public enum KillOutcome {
        SENT,
        /** containerd knows no such task: nothing runs on the snapshot. */
        NOTHING_RUNS,
        /** The snapshot was removed before the kill could be sent. */
        SNAPSHOT_REMOVED,
        /** One try was refused, or containerd is away: it is repeated. */
        FAILED,
        /** A queue of the reactor was full, or it is stopping: the next daemon hears of it again. */
        DROPPED,
        /** Mode {@code report}: not asked for. */
        ONLY_REPORTED
    }

    // From a Stat answered from memory to a Commit that reaches its deadline.
    private static final Duration[] RPC_BUCKETS = milliseconds(
            0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000);
    // A flush of an NVMe disk takes 20 us, one of a busy spinning disk seconds.
    private static final Duration[] DISK_BUCKETS =
            milliseconds(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1_000, 5_000, 30_000);

    private final PrometheusMeterRegistry registry = new PrometheusMeterRegistry(PrometheusConfig.DEFAULT);
    private final ConcurrentHashMap<String, ConcurrentHashMap<String, Timer>> rpcTimers = new ConcurrentHashMap<>();
    private final LabelledCounters rejectedCalls = new LabelledCounters(Metric.REJECTED_CALLS);
    private final LabelledCounters abandonedCalls = new LabelledCounters(Metric.ABANDONED_CALLS);
    private final LabelledCounters unexpectedFailures = new LabelledCounters(Metric.UNEXPECTED_FAILURES);
    private final LabelledCounters poisoned = new LabelledCounters(Metric.POISONED);
    private final LabelledCounters kills = new LabelledCounters(Metric.KILLS);
    private final LabelledCounters transitions = new LabelledCounters(Metric.TRANSITIONS);
    private final LabelledCounters rebuilds = new LabelledCounters(Metric.REBUILDS);
    private final LabelledCounters cleanups = new LabelledCounters(Metric.CLEANUPS);
    private final LabelledCounters fullDiskRemovals = new LabelledCounters(Metric.FULL_DISK_REMOVALS);
    private final LabelledCounters earlyTurns = new LabelledCounters(Metric.EARLY_TURNS);
    private final Counter earlyFiles = counter(Metric.EARLY_FILES, List.of());
    private final Counter earlyBytes = counter(Metric.EARLY_BYTES, List.of());
    private final Counter rejectedPeers = counter(Metric.REJECTED_PEERS, List.of());
    private final Counter unseenErrors = counter(Metric.UNSEEN_ERRORS, List.of());
    private final Counter placedElsewhere = counter(Metric.PLACED_ELSEWHERE, List.of());
    private final Counter failedWritebacks = counter(Metric.FAILED_WRITEBACKS, List.of());
    /** Held here, because a counter of this kind holds it weakly. */
    @SuppressWarnings("unused")
    private volatile @Nullable Supplier<Number> droppedLines;

    private final Counter clearingFailures = counter(Metric.CLEARING_FAILURES, List.of());
    private final Counter unnamedWritebacks = counter(Metric.UNNAMED_WRITEBACKS, List.of());
    private final Counter traceEventsLost = counter(Metric.TRACE_LOST, List.of());
    private final Counter flushes = counter(Metric.FLUSHES, List.of());
    private final Counter lockTimeouts = counter(Metric.LOCK_TIMEOUTS, List.of());
    private final Timer commit = timer(Metric.COMMIT, DISK_BUCKETS, List.of());
    private final Timer probe = timer(Metric.PROBE, DISK_BUCKETS, List.of());
    private final Timer writeProbe = timer(Metric.WRITE_PROBE, DISK_BUCKETS, List.of());
    private final Timer durableTransaction = transactionTimer(Durability.DURABLE);
    private final Timer orderedTransaction = transactionTimer(Durability.ORDERED);
    private final Timer durableWait = waitTimer(Durability.DURABLE);
    private final Timer orderedWait = waitTimer(Durability.ORDERED);
    private final Timer checkpoint = timer(Metric.CHECKPOINT, DISK_BUCKETS, List.of());

    public Metrics() {
        for (KillOutcome outcome : KillOutcome.values()) {
            kills.of(word(outcome));
        }
        for (RebuildOutcome outcome : RebuildOutcome.values()) {
            rebuilds.of(word(outcome));
        }
        for (CleanupOutcome outcome : CleanupOutcome.values()) {
            cleanups.of(word(outcome));
        }
        for (FullDiskOutcome outcome : FullDiskOutcome.values()) {
            fullDiskRemovals.of(word(outcome));
        }
        earlyTurns.of(WHOLE);
        earlyTurns.of(CUT);
        ProcessFigures process = ProcessFigures.ofThisProcess();
        gauge(Metric.RESIDENT_MEMORY, List.of(), process::residentBytes);
        gauge(Metric.HEAP, List.of(), process::heapUsedBytes);
        gauge(Metric.THREADS, List.of(), process::threads);
        gauge(Metric.FILE_DESCRIPTORS, List.of(), process::openFiles);
        gauge(Metric.UPTIME, List.of(), process::uptimeSeconds);
    }

    /** One RPC was answered. {@code status} is the gRPC status code's name. */
    public void rpcAnswered(String method, String status, long nanoseconds) {
        rpcTimers
                .computeIfAbsent(method, _ -> new ConcurrentHashMap<>())
                .computeIfAbsent(status, _ -> timer(Metric.RPC, RPC_BUCKETS, tags(Metric.RPC, method, status)))
                .record(nanoseconds, TimeUnit.NANOSECONDS);
    }

    /**
     * Shows 0 for the calls refused in a lane: a series that appears with its first event makes Prometheus' {@code increase()} miss
     * that one.
     */
    public void announceRejections(String lane) {
        rejectedCalls.of(lane);
    }

    /** Shows 0 for the calls of a method that were answered before they were done, for the same reason. */
    public void announceAbandoned(String method) {
        abandonedCalls.of(method);
    }

    /** Shows 0 for the unexpected failures of a method, for the same reason. */
    public void announceFailures(String method) {
        unexpectedFailures.of(method);
    }

    /** Shows 0 for the snapshots poisoned for a reason, for the same reason. */
    public void announcePoison(String reason) {
        poisoned.of(reason);
    }

    /** A call was refused because its lane's queue was full. */
    public void callRejected(String lane) {
        rejectedCalls.of(lane).increment();
    }

    /** A call was answered before it was done: it took too long, its disk hangs, or its client has gone. */
    public void callAbandoned(String method) {
        abandonedCalls.of(method).increment();
    }

    /** Shows how many threads of a lane are still at a call that was answered; called from the scraping thread. */
    public void heldThreads(String lane, Supplier<Number> count) {
        gauge(Metric.HELD_THREADS, tags(Metric.HELD_THREADS, lane), count);
    }

    /** A call ended in an exception that nobody foresaw. */
    public void unexpectedFailure(String method) {
        unexpectedFailures.of(method).increment();
    }

    /** A connection was closed because the peer's uid is not allowed. */
    public void peerRejected() {
        rejectedPeers.increment();
    }

    /** Shows the length of a queue; {@code length} is called from the scraping thread. The first supplier of a name stays. */
    public void queueLength(String queue, Supplier<Number> length) {
        gauge(Metric.QUEUE, tags(Metric.QUEUE, queue), length);
    }

    /** Shows how many snapshots have a role; {@code count} is called from the scraping thread. */
    public void snapshots(Role role, Supplier<Number> count) {
        gauge(Metric.SNAPSHOTS, tags(Metric.SNAPSHOTS, word(role)), count);
    }

    /** Shows how many removed snapshots' directories are still to be deleted; called from the scraping thread. */
    public void trashWaiting(Supplier<Number> count) {
        gauge(Metric.TRASH, List.of(), count);
    }

    /** Shows how many of these could not be moved or deleted; called from the scraping thread. */
    public void trashFailing(Supplier<Number> count) {
        gauge(Metric.TRASH_FAILING, List.of(), count);
    }

    /** What came of one Cleanup. */
    public void cleanedUp(CleanupOutcome outcome) {
        cleanups.of(word(outcome)).increment();
    }

    /** A removal whose record had no room has deleted the directory first. */
    public void removedOnFullDisk(FullDiskOutcome outcome) {
        fullDiskRemovals.of(word(outcome)).increment();
    }

    /** Shows what room the root's filesystem had when it was last looked at; called from the scraping thread. */
    public void fileSystemRoom(Supplier<Number> bytes, Supplier<Number> inodes) {
        gauge(Metric.FILESYSTEM_AVAILABLE_BYTES, List.of(), bytes);
        gauge(Metric.FILESYSTEM_AVAILABLE_INODES, List.of(), inodes);
    }

    /** Shows how many volatile overlays are not in their place; called from the scraping thread. */
    public void displacedOverlays(Supplier<Number> count) {
        gauge(Metric.DISPLACED_OVERLAYS, List.of(), count);
    }

    /** Shows how many committed snapshots have lost their directory; called from the scraping thread. */
    public void lostLayers(Supplier<Number> count) {
        gauge(Metric.LOST_LAYERS, List.of(), count);
    }

    /** A snapshot was poisoned. */
    public void poisoned(String reason) {
        poisoned.of(reason).increment();
    }

    /** Shows how many snapshots are poisoned in memory only; called from the scraping thread. */
    public void poisonUnrecorded(Supplier<Number> count) {
        gauge(Metric.UNRECORDED, List.of(), count);
    }

    /** Shows for how many seconds an error epoch has been open; called from the scraping thread. */
    public void openEpoch(Supplier<Number> seconds) {
        gauge(Metric.EPOCH_OPEN, List.of(), seconds);
    }

    /** An attempt to clear an error epoch failed. */
    public void clearingFailed() {
        clearingFailures.increment();
    }

    /** A writeback error that nobody had seen was consumed. */
    public void unseenErrorCleared() {
        unseenErrors.increment();
    }

    /** One Commit took this long, whatever came of it. */
    public void commitTook(long nanoseconds) {
        commit.record(nanoseconds, TimeUnit.NANOSECONDS);
    }

    /**
     * Ahead of their Commits the writeback of layers' files was begun.
     *
     * @param bytes the files' sizes
     * @param isWhole everything was looked at, and not only what fits into a turn
     */
    public void wroteEarly(long files, long bytes, boolean isWhole) {
        earlyFiles.increment((double) files);
        earlyBytes.increment((double) bytes);
        earlyTurns.of(isWhole ? WHOLE : CUT).increment();
    }

    /** Shows how many files of a kind are held open for active snapshots; called from the scraping thread. */
    public void openUppers(String kind, Supplier<Number> count) {
        gauge(Metric.OPEN_UPPERS, tags(Metric.OPEN_UPPERS, kind), count);
    }

    /** Shows how many there may be. */
    public void openUppersBound(Supplier<Number> bound) {
        gauge(Metric.OPEN_UPPERS_BOUND, List.of(), bound);
    }

    /** Asking one overlay, or all of them, took this long. */
    public void probeTook(long nanoseconds) {
        probe.record(nanoseconds, TimeUnit.NANOSECONDS);
    }

    /** A write probe came back after this long. */
    public void writeProbeTook(long nanoseconds) {
        writeProbe.record(nanoseconds, TimeUnit.NANOSECONDS);
    }

    /** A snapshot that would have been volatile was placed on a plain overlay, because its filesystem was sick. */
    public void placedElsewhere() {
        placedElsewhere.increment();
    }

    /** Shows whether the kernel's trace of writeback errors is read; called from the scraping thread. */
    public void errorTrace(BooleanSupplier isRead) {
        gauge(Metric.TRACE, List.of(), () -> isRead.getAsBoolean() ? 1 : 0);
    }

    /** Shows how many lines of the log were dropped so far; called from the scraping thread. */
    public void logLinesDropped(Supplier<Number> lines) {
        droppedLines = lines;
        FunctionCounter.builder(
                        Metric.LOG_DROPPED.id, lines, supplier -> supplier.get().doubleValue())
                .description(Metric.LOG_DROPPED.description)
                .register(registry);
    }

    /** The kernel's trace named this many inodes whose writeback failed. */
    public void failedWritebacks(int inodes) {
        failedWritebacks.increment(inodes);
    }

    /** Too many came at once to name the files of all. */
    public void writebacksUnnamed(int inodes) {
        unnamedWritebacks.increment(inodes);
    }

    /** The kernel dropped events of its trace, because they came faster than they were read. */
    public void traceEventsLost(long events) {
        traceEventsLost.increment((double) events);
    }

    /** A superblock is in this state now, and was in another before. */
    public void superblockChanged(String state) {
        transitions.of(state).increment();
    }

    /** Shows, for each state, whether the superblock is in it; {@code is} is called from the scraping thread. */
    public void superblockState(String device, String state, BooleanSupplier is) {
        transitions.of(state);
        gauge(Metric.STATE, tags(Metric.STATE, device, state), () -> is.getAsBoolean() ? 1 : 0);
    }

    /** Shows how long ago the watch looked the last time; called from the scraping thread. */
    public void lastLook(Supplier<Number> secondsAgo) {
        gauge(Metric.LAST_LOOK, List.of(), secondsAgo);
    }

    /**
     * One metadata transaction was written.
     *
     * @param waitedNanos until it was its turn
     * @param tookNanos from then on
     */
    public void transactionTook(Durability durability, long waitedNanos, long tookNanos) {
        boolean isDurable = durability == Durability.DURABLE;
        (isDurable ? durableWait : orderedWait).record(waitedNanos, TimeUnit.NANOSECONDS);
        (isDurable ? durableTransaction : orderedTransaction).record(tookNanos, TimeUnit.NANOSECONDS);
    }

    /** The metadata's write-ahead log was carried over, and nobody could write meanwhile. */
    public void checkpointTook(long nanoseconds) {
        checkpoint.record(nanoseconds, TimeUnit.NANOSECONDS);
    }

    /** One flush brought durable metadata transactions to disk. */
    public void flushed() {
        flushes.increment();
    }

    /** Shows whether metadata can be changed; called from the scraping thread. */
    public void metadataWritable(BooleanSupplier isWritable) {
        gauge(Metric.WRITABLE, List.of(), () -> isWritable.getAsBoolean() ? 1 : 0);
    }

    /** What came of one attempt to write all metadata anew. */
    public void metadataRebuilt(RebuildOutcome outcome) {
        rebuilds.of(word(outcome)).increment();
    }

    /** A wait for a snapshot's lock reached its bound. */
    public void lockTimedOut() {
        lockTimeouts.increment();
    }

    /** What came of one poisoned snapshot's container. */
    public void kill(KillOutcome outcome) {
        kills.of(word(outcome)).increment();
    }

    /** All metrics in Prometheus' text format 0.0.4. */
    public String prometheusText() {
        return registry.scrape();
    }

    @Override
    public void close() {
        registry.close();
    }

    private Counter counter(Metric metric, List<Tag> tags) {
        return Counter.builder(metric.id)
                .description(metric.description)
                .tags(tags)
                .register(registry);
    }

    private Timer timer(Metric metric, Duration[] buckets, List<Tag> tags) {
        return Timer.builder(metric.id)
                .description(metric.description)
                .tags(tags)
                .serviceLevelObjectives(buckets)
                .register(registry);
    }

    private Timer transactionTimer(Durability durability) {
        return timer(Metric.TRANSACTION, DISK_BUCKETS, tags(Metric.TRANSACTION, word(durability)));
    }

    private Timer waitTimer(Durability durability) {
        return timer(Metric.TRANSACTION_WAIT, DISK_BUCKETS, tags(Metric.TRANSACTION_WAIT, word(durability)));
    }

    private void gauge(Metric metric, List<Tag> tags, Supplier<Number> value) {
        Gauge.Builder<Supplier<Number>> builder = Gauge.builder(metric.id, value)
                .description(metric.description)
                .tags(tags)
                // Otherwise the supplier is held weakly, and the gauge turns NaN at the next collection.
                .strongReference(true);
        if (metric.type == Metric.Type.BYTES) {
            builder.baseUnit("bytes");
        } else if (metric.type == Metric.Type.SECONDS) {
            builder.baseUnit("seconds");
        }
        builder.register(registry);
    }

    private static List<Tag> tags(Metric metric, String... values) {
        List<Tag> tags = new ArrayList<>(values.length);
        for (int i = 0; i < values.length; i++) {
            tags.add(Tag.of(metric.labels.get(i), values[i]));
        }
        return tags;
    }

    private static String word(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT);
    }

    private static Duration[] milliseconds(double... values) {
        Duration[] durations = new Duration[values.length];
        for (int i = 0; i < values.length; i++) {
            durations[i] = Duration.ofNanos(Math.round(values[i] * 1_000_000));
        }
        return durations;
    }

    /** The counters of one metric with one label. */
    private final class LabelledCounters {
        private final Metric metric;
        private final ConcurrentHashMap<String, Counter> counters = new ConcurrentHashMap<>();

        LabelledCounters(Metric metric) {
            this.metric = metric;
        }

        Counter of(String value) {
            Counter known = counters.get(value);
            if (known != null) {
                return known;
            }
            String kept = counters.size() < MAXIMUM_LABEL_VALUES ? value : OTHER;
            return counters.computeIfAbsent(kept, label -> counter(metric, tags(metric, label)));
        }
    }
}
