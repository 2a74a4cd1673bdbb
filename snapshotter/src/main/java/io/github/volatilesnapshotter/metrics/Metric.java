package io.github.volatilesnapshotter.metrics;

import java.util.List;

/** Every metric that this project defines, in one place. {@code docs/metrics.md} lists the same; a test compares the two. */
enum Metric {
    RPC(Type.TIMER, "rpc", "Time from the arrival of a request to its answer", "method", "status"),
    REJECTED_CALLS(Type.COUNTER, "rpc.rejected", "Calls refused because the lane's queue was full", "lane"),
    ABANDONED_CALLS(Type.COUNTER, "rpc.abandoned", "Calls answered before they were done", "method"),
    HELD_THREADS(Type.GAUGE, "rpc.held.threads", "Threads still at a call that was answered", "lane"),
    UNEXPECTED_FAILURES(Type.COUNTER, "rpc.unexpected", "Calls that ended in a fault of this daemon", "method"),
    REJECTED_PEERS(Type.COUNTER, "peers.rejected", "Connections closed because the peer's uid is not allowed"),
    QUEUE(Type.GAUGE, "queue.length", "Entries that wait in a queue", "queue"),

    SNAPSHOTS(Type.GAUGE, "snapshots", "Snapshots by role", "role"),
    POISONED(Type.COUNTER, "poisoned", "Snapshots poisoned, by reason", "reason"),
    UNSEEN_ERRORS(Type.COUNTER, "unseen.errors.cleared", "Writeback errors nobody had seen, consumed by this daemon"),
    STATE(Type.GAUGE, "superblock.state", "1 for the state that a superblock is in", "device", "state"),
    TRANSITIONS(Type.COUNTER, "superblock.transitions", "Changes of a superblock's state, by the new state", "state"),
    WRITE_PROBE(Type.TIMER, "write.probe", "Time of a write probe, from its begin until it came back"),
    PLACED_ELSEWHERE(
            Type.COUNTER,
            "placed.durable",
            "Volatile snapshots that got a plain overlay because their filesystem was sick"),
    EPOCH_OPEN(Type.SECONDS, "superblock.epoch.open", "Time since the open error epoch began, 0 while none is open"),
    CLEARING_FAILURES(Type.COUNTER, "superblock.clearing.failures", "Attempts to clear an error epoch that failed"),
    UNRECORDED(Type.GAUGE, "poison.unrecorded", "Snapshots whose poison is in memory only"),
    TRACE(Type.GAUGE, "error.trace", "1 while the kernel's trace of writeback errors is read, 0 where it can't be"),
    FAILED_WRITEBACKS(
            Type.COUNTER, "failed.writebacks", "Inodes of which the kernel's trace said that a writeback failed"),
    UNNAMED_WRITEBACKS(
            Type.COUNTER,
            "failed.writebacks.unnamed",
            "Of these, those whose files are not named because too many came at once"),
    TRACE_LOST(Type.COUNTER, "error.trace.lost", "Events of that trace that the kernel dropped"),
    LAST_LOOK(Type.SECONDS, "watch.last.look", "Time since the watch last looked at the superblock"),
    TRASH(Type.GAUGE, "trash.waiting", "Directories of removed snapshots that wait for deletion"),
    TRASH_FAILING(
            Type.GAUGE, "trash.failing", "Of these, those that could not be moved or deleted and are tried again"),
    CLEANUPS(
            Type.COUNTER,
            "cleanups",
            "Cleanups, by whether they came to the end of the trash in their time",
            "outcome"),
    FULL_DISK_REMOVALS(
            Type.COUNTER,
            "full.disk.removals",
            "Removals for whose record the filesystem had no room, by whether they made it",
            "outcome"),
    FILESYSTEM_AVAILABLE_BYTES(
            Type.GAUGE, "filesystem.available.bytes", "What anybody but root may still write below the root directory"),
    FILESYSTEM_AVAILABLE_INODES(
            Type.GAUGE,
            "filesystem.available.inodes",
            "How many more files there may be on the filesystem of the root directory"),
    LOST_LAYERS(Type.GAUGE, "lost.layers", "Committed snapshots whose directory was found to be gone"),
    DISPLACED_OVERLAYS(Type.GAUGE, "displaced.overlays", "Volatile overlays that somebody has unmounted or covered"),
    COMMIT(Type.TIMER, "commit", "Time of Commit, the sync included"),
    EARLY_FILES(Type.COUNTER, "early.writeback.files", "Files of layers whose writeback was begun ahead of the Commit"),
    EARLY_BYTES(Type.COUNTER, "early.writeback.bytes", "Sizes of these files, in bytes"),
    EARLY_TURNS(
            Type.COUNTER,
            "early.writeback.turns",
            "Looks for such files; cut: it ended at a bound, and the next one goes on",
            "outcome"),
    OPEN_UPPERS(Type.GAUGE, "open.uppers", "Files held open for active snapshots, by what they are", "kind"),
    OPEN_UPPERS_BOUND(Type.GAUGE, "open.uppers.bound", "How many may be"),
    PROBE(Type.TIMER, "overlay.probe", "Time of asking one overlay, or all of them, for a writeback error"),
    TRANSACTION(Type.TIMER, "metadata.transaction", "Time of one metadata transaction", "durability"),
    TRANSACTION_WAIT(
            Type.TIMER,
            "metadata.wait",
            "Time that a metadata transaction waited for its turn, those before it included",
            "durability"),
    CHECKPOINT(
            Type.TIMER,
            "metadata.checkpoint",
            "Time for which no metadata could be written because the write-ahead log was carried over"),
    FLUSHES(Type.COUNTER, "metadata.flushes", "Flushes for durable transactions, each for all that waited for it"),
    WRITABLE(
            Type.GAUGE,
            "metadata.writable",
            "1 while metadata can be changed, 0 while it is written anew after a failure"),
    REBUILDS(Type.COUNTER, "metadata.rebuilds", "Attempts to write all metadata anew, by outcome", "outcome"),
    LOG_DROPPED(Type.COUNTER, "log.lines.dropped", "Lines of the log that nobody read in time"),
    LOCK_TIMEOUTS(Type.COUNTER, "lock.timeouts", "Waits for a snapshot's lock that reached their bound"),
    KILLS(Type.COUNTER, "kills", "Kills of containers on a poisoned snapshot, by outcome", "outcome"),

    RESIDENT_MEMORY(Type.BYTES, "process.resident.memory", "Resident memory of the daemon"),
    HEAP(Type.BYTES, "process.heap.used", "Java heap in use, garbage included"),
    THREADS(Type.GAUGE, "process.threads", "Threads of the daemon"),
    FILE_DESCRIPTORS(Type.GAUGE, "process.open.files", "Open file descriptors of the daemon"),
    UPTIME(Type.SECONDS, "process.uptime", "Time since the daemon was started");

    /** How the values of a metric are to be read. */
    enum Type {
        COUNTER,
        GAUGE,
        /** A gauge in bytes. */
        BYTES,
        /** A gauge in seconds. */
        SECONDS,
        /** A histogram of durations in seconds. */
        TIMER
    }

    private static final String PREFIX = "volatile.snapshotter.";

    final Type type;
    final String id;
    final String description;

    @SuppressWarnings("ImmutableEnumChecker") // List.of makes it so
    final List<String> labels;

    Metric(Type type, String id, String description, String... labels) {
        this.type = type;
        this.id = PREFIX + id;
        this.description = description;
        this.labels = List.of(labels);
    }

    /** The name of the family in Prometheus text. */
    String prometheusName() {
        String base = id.replace('.', '_');
        return switch (type) {
            case COUNTER -> base + "_total";
            case GAUGE -> base;
            case BYTES -> base + "_bytes";
            case SECONDS, TIMER -> base + "_seconds";
        };
    }
}
