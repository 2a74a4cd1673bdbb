package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.ERROR;
import static java.lang.System.Logger.Level.INFO;
import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * One of the ways in which the kernel says by itself that something went wrong. It may be missing, and it may break: either is logged once,
 * with what is lost by it, and it is opened again from time to time. Its absence is no failure: the sentinel and the write probe find the
 * same, only later.
 *
 * <p>One thread at a time, but for {@link #isOpen}.
 *
 * @param <S> what is said
 */
final class SignalSource<S> implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(SignalSource.class.getName());

    /** The time between two attempts to open it. */
    static final long REOPEN_SECONDS = 60;

    /** Events that were lost, or of a form that is not known, are nothing too; but a watch that is woken by nothing would never sleep. */
    static final int MOST_EMPTY_READS = 100;

    /** What is read while it is open. */
    interface Listening<S> {
        /** To be polled. */
        Fd fd();

        /** What was said since the last call, empty if nothing was; never blocks. */
        Optional<S> read() throws SyscallException;

        void close() throws SyscallException;
    }

    /** Begins to listen; empty where the kernel has nothing of the kind, which no later attempt changes. */
    @FunctionalInterface
    interface Opening<S> {
        Optional<? extends Listening<S>> open() throws SyscallException;
    }

    private final String name;
    private final String without;
    private final Device device;
    private final Opening<S> opening;
    private final LongSupplier nanoTime;

    private volatile @Nullable Listening<S> listening;
    private boolean mayComeBack = true;
    private boolean isReported;
    private long triedNanos;
    private int emptyReads;

    /**
     * Tries to open it.
     *
     * @param name of what it says, for the log
     * @param without what is so without it, for the log
     */
    SignalSource(String name, String without, Device device, Opening<S> opening, LongSupplier nanoTime) {
        this.name = name;
        this.without = without;
        this.device = device;
        this.opening = opening;
        this.nanoTime = nanoTime;
        tryToOpen();
    }

    boolean isOpen() {
        return listening != null;
    }

    /** Empty while it is not open. */
    Optional<Fd> fd() {
        return Optional.ofNullable(listening).map(Listening::fd);
    }

    /** What was said since the last call; never blocks. */
    Optional<S> read() {
        Listening<S> open = listening;
        if (open == null) {
            return Optional.empty();
        }
        try {
            Optional<S> said = open.read();
            emptyReads = said.isPresent() ? 0 : emptyReads + 1;
            if (emptyReads >= MOST_EMPTY_READS) {
                giveUp("readable " + emptyReads + " times with nothing to read");
            }
            return said;
        } catch (SyscallException e) {
            giveUp(String.valueOf(e.getMessage()));
            return Optional.empty();
        }
    }

    /** Otherwise the watch would turn without end. */
    private void giveUp(String cause) {
        isReported = true;
        LOG.log(ERROR, "the " + name + " can't be read any more: " + without, "device", device, "cause", cause);
        close();
        triedNanos = nanoTime.getAsLong();
    }

    /** Opens it again if it is missing, and the last attempt was {@value #REOPEN_SECONDS} s ago. */
    void reopenIfDue() {
        if (listening == null
                && mayComeBack
                && nanoTime.getAsLong() - triedNanos >= TimeUnit.SECONDS.toNanos(REOPEN_SECONDS)) {
            tryToOpen();
        }
    }

    private void tryToOpen() {
        triedNanos = nanoTime.getAsLong();
        try {
            Optional<? extends Listening<S>> opened = opening.open();
            mayComeBack = opened.isPresent();
            listening = opened.orElse(null);
            if (opened.isPresent() && isReported) {
                isReported = false;
                LOG.log(INFO, name + " is back", "device", device);
            }
        } catch (SyscallException e) {
            if (!isReported) {
                isReported = true;
                LOG.log(WARNING, "no " + name + ": " + without, "device", device, "failure", e.getMessage());
            }
        }
    }

    @Override
    public void close() {
        Listening<S> left = listening;
        listening = null;
        emptyReads = 0;
        try {
            if (left != null) {
                left.close();
            }
        } catch (SyscallException e) {
            LOG.log(WARNING, "something is left behind of the " + name, "device", device, "failure", e.getMessage());
        }
    }
}
