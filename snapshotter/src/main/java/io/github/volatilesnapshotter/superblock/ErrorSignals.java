package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.FileSystemErrors;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * What the kernel says by itself, at the moment when something goes wrong: the error trace, and the filesystem's own reports of errors
 * in its metadata. Either may be missing, which is reported once: the sentinel and the write probe find the same, only later.
 *
 * <p>One thread at a time.
 */
final class ErrorSignals implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(ErrorSignals.class.getName());

    private final Optional<ErrorTrace> trace;
    private final Optional<FileSystemErrors> reports;
    private final Metrics metrics;
    private long lost;
    private volatile boolean isClosed;

    private ErrorSignals(Optional<ErrorTrace> trace, Optional<FileSystemErrors> reports, Metrics metrics) {
        this.trace = trace;
        this.reports = reports;
        this.metrics = metrics;
    }

    /**
     * Listens from now on.
     *
     * @param mount that {@code pool} lies on
     */
    static ErrorSignals open(Path pool, MountInfo mount, Metrics metrics) {
        ErrorSignals signals = new ErrorSignals(openTrace(pool, mount), openReports(pool), metrics);
        metrics.errorTrace(() -> signals.trace.isPresent() && !signals.isClosed);
        return signals;
    }

    private static Optional<ErrorTrace> openTrace(Path pool, MountInfo mount) {
        try {
            // The root is locked by its daemon: an instance of this name is its own, or was left by one that was
            // killed.
            String instance = "containerd-volatile-grpc-" + mount.major() + "-" + mount.minor() + "-"
                    + Integer.toHexString(pool.toString().hashCode());
            return Optional.of(ErrorTrace.open(mount.device(), BlockDevices.of(mount), instance));
        } catch (SyscallException e) {
            LOG.log(
                    WARNING,
                    "no error trace: writeback errors are found by the sentinel, within the watch's interval, and their files not named",
                    "device",
                    mount.device(),
                    "failure",
                    e.getMessage());
            return Optional.empty();
        }
    }

    private static Optional<FileSystemErrors> openReports(Path pool) {
        try {
            return FileSystemErrors.of(pool);
        } catch (SyscallException e) {
            LOG.log(WARNING, "no reports of filesystem errors", "path", pool, "failure", e.getMessage());
            return Optional.empty();
        }
    }

    /**
     * What was said.
     *
     * @param failures pages that were not written back
     * @param hasFileSystemError whether the filesystem has found an error in its metadata, or was shut down
     */
    record Said(List<FailedWriteback> failures, boolean hasFileSystemError) {}

    /** To be polled; at most two. */
    List<Fd> descriptors() {
        List<Fd> descriptors = new ArrayList<>();
        trace.ifPresent(present -> descriptors.add(present.fd()));
        reports.ifPresent(present -> descriptors.add(present.fd()));
        return descriptors;
    }

    /** What was said since the last call; never blocks. */
    Said read() throws SyscallException {
        List<FailedWriteback> failures = trace.isPresent() ? trace.get().read() : List.of();
        boolean hasError = reports.isPresent() && !reports.get().read().isEmpty();
        if (!failures.isEmpty()) {
            metrics.failedWritebacks(failures.size());
        }
        long lostNow = trace.map(ErrorTrace::lost).orElse(0L);
        metrics.traceEventsLost(lostNow - lost);
        lost = lostNow;
        return new Said(failures, hasError);
    }

    @Override
    public void close() {
        isClosed = true;
        reports.ifPresent(FileSystemErrors::close);
        try {
            if (trace.isPresent()) {
                trace.get().close();
            }
        } catch (SyscallException e) {
            LOG.log(WARNING, "the error trace is left behind in tracefs", "failure", e.getMessage());
        }
    }
}
