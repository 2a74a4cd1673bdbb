package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.FileSystemErrors;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * What the kernel says by itself, at the moment when something goes wrong: the error trace, and the filesystem's own reports of errors
 * in its metadata. Either may be missing ({@link SignalSource}).
 *
 * <p>One thread at a time.
 */
final class ErrorSignals implements AutoCloseable {
    private final SignalSource<List<FailedWriteback>> trace;
    private final SignalSource<List<FileSystemErrors.Event>> reports;

    /**
     * Listens from now on.
     *
     * @param mount that {@code pool} lies on
     */
    ErrorSignals(Path pool, MountInfo mount, Metrics metrics) {
        this.trace = new SignalSource<>(
                "error trace",
                "writeback errors are found by the sentinel, within the watch's interval, and their files not named",
                mount.device(),
                () -> Optional.of(new Trace(pool, mount, metrics)),
                System::nanoTime);
        this.reports = new SignalSource<>(
                "reports of filesystem errors",
                "they are found by the next write probe",
                mount.device(),
                () -> FileSystemErrors.of(pool).map(Reports::new),
                System::nanoTime);
        metrics.errorTrace(trace::isOpen);
    }

    private static final class Trace implements SignalSource.Listening<List<FailedWriteback>> {
        private final ErrorTrace trace;
        private final Metrics metrics;
        private long lost;

        Trace(Path pool, MountInfo mount, Metrics metrics) throws SyscallException {
            // The root is locked by its daemon: an instance of this name is its own, or was left by one that was
            // killed.
            String instance = "containerd-volatile-grpc-" + mount.major() + "-" + mount.minor() + "-"
                    + Integer.toHexString(pool.toString().hashCode());
            this.trace = ErrorTrace.open(mount.device(), BlockDevices.of(mount), instance);
            this.metrics = metrics;
        }

        @Override
        public Fd fd() {
            return trace.fd();
        }

        @Override
        public Optional<List<FailedWriteback>> read() throws SyscallException {
            List<FailedWriteback> failures = trace.read();
            metrics.failedWritebacks(failures.size());
            metrics.traceEventsLost(trace.lost() - lost);
            lost = trace.lost();
            return Optional.of(failures).filter(said -> !said.isEmpty());
        }

        @Override
        public void close() throws SyscallException {
            trace.close();
        }
    }

    private record Reports(FileSystemErrors errors) implements SignalSource.Listening<List<FileSystemErrors.Event>> {
        @Override
        public Fd fd() {
            return errors.fd();
        }

        @Override
        public Optional<List<FileSystemErrors.Event>> read() throws SyscallException {
            return Optional.of(errors.read()).filter(said -> !said.isEmpty());
        }

        @Override
        public void close() {
            errors.close();
        }
    }

    /**
     * What was said.
     *
     * @param failures pages that were not written back
     * @param hasFileSystemError whether the filesystem has found an error in its metadata, or was shut down
     */
    record Said(List<FailedWriteback> failures, boolean hasFileSystemError) {}

    /** To be polled; at most two, and others after {@link #read} or {@link #reopenIfDue}. */
    List<Fd> descriptors() {
        return Stream.of(trace.fd(), reports.fd()).flatMap(Optional::stream).toList();
    }

    /**
     * What was said since the last call; never blocks.
     *
     * @param readable those of the {@link #descriptors} that have something to say
     */
    Said read(List<Fd> readable) {
        return new Said(
                isAmong(readable, trace) ? trace.read().orElse(List.of()) : List.of(),
                isAmong(readable, reports) && reports.read().isPresent());
    }

    private static boolean isAmong(List<Fd> readable, SignalSource<?> source) {
        return source.fd().filter(readable::contains).isPresent();
    }

    /** What is missing is opened again from time to time. */
    void reopenIfDue() {
        trace.reopenIfDue();
        reports.reopenIfDue();
    }

    @Override
    public void close() {
        trace.close();
        reports.close();
    }
}
