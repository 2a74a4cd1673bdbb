package io.github.volatilesnapshotter.linux;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * An instance of tracefs: buffers, events and settings of its own, beside those that anybody else uses (the kernel's
 * Documentation/trace/ftrace.rst). It stays after the process that made it, so it must be closed, and one of the same name that
 * a killed daemon left is taken away first.
 *
 * <p>Settings come before the first {@link #pipe}: a change of buffer size or clock empties the buffer. One thread at a time.
 */
public final class TraceInstance implements AutoCloseable {
    private static final Path STANDARD_PLACE = Path.of("/sys/kernel/tracing");
    private static final Path OLD_PLACE = Path.of("/sys/kernel/debug/tracing");
    private static final String TYPE = "tracefs";
    private static final int OWNER_ONLY = 0700;

    /** An instance is busy while somebody reads one of its files; a reader that was killed lets go a moment later. */
    private static final int MOST_REMOVALS = 50;

    private static final long REMOVAL_PAUSE_NANOS = 10_000_000;
    /** Text that one {@link #read} returns at most; each read(2) gives less than a page. */
    private static final int MOST_READS = 64;

    private static final int READ_BYTES = 64 * 1024;

    /** Where no tracefs is mounted, one that is attached nowhere, and ends with this descriptor. */
    private final @Nullable Fd ownMount;

    private final Path directory;
    /** The files by which events were enabled. */
    private final List<Path> enabled = new ArrayList<>();

    private @Nullable Fd pipe;
    private boolean isClosed;

    private TraceInstance(@Nullable Fd ownMount, Path directory) {
        this.ownMount = ownMount;
        this.directory = directory;
    }

    /**
     * Makes a new instance in which nothing is traced. Uses tracefs where it is mounted, in {@code /sys/kernel/tracing} or {@code
     * /sys/kernel/debug/tracing}, or else mounts one that is attached nowhere.
     *
     * @param name of one path segment
     * @throws SyscallException EPERM under lockdown=confidentiality or without CAP_SYS_ADMIN, ENODEV from a kernel without
     *     tracefs, EBUSY if an instance of that name is in use
     */
    public static TraceInstance create(String name) throws SyscallException {
        for (Path place : new Path[] {STANDARD_PLACE, OLD_PLACE}) {
            if (isTracefs(place)) {
                return create(null, place, name);
            }
        }
        Fd mount = mountDetached();
        return create(mount, Path.of("/proc/self/fd/" + mount.number()), name);
    }

    private static Fd mountDetached() throws SyscallException {
        try (FileSystemContext context = FileSystemContext.open(MountApi.ofThisLibrary(), TYPE)) {
            return context.createMount();
        } catch (SyscallException failure) {
            SyscallException explained = new SyscallException(
                    failure.operation(),
                    failure.arguments(),
                    failure.errno(),
                    "tracefs is not mounted at " + STANDARD_PLACE + " or " + OLD_PLACE + ", and can't be");
            explained.initCause(failure);
            throw explained;
        }
    }

    private static boolean isTracefs(Path place) {
        try {
            return FileSystemStat.of(place).type() == FileSystemStat.TRACEFS;
        } catch (SyscallException _) {
            // Whatever it is that keeps us out, the other ways are left.
            return false;
        }
    }

    private static TraceInstance create(@Nullable Fd ownMount, Path tracefs, String name) throws SyscallException {
        Path directory = tracefs.resolve("instances").resolve(name);
        try {
            try {
                SystemCalls.mkdir(directory, OWNER_ONLY);
            } catch (SyscallException failure) {
                if (!failure.errno().is(Errno.EEXIST)) {
                    throw failure;
                }
                remove(directory);
                SystemCalls.mkdir(directory, OWNER_ONLY);
            }
            return new TraceInstance(ownMount, directory);
        } catch (SyscallException failure) {
            if (ownMount != null) {
                ownMount.close();
            }
            throw failure;
        }
    }

    /** Size of the buffer of each processor; the kernel rounds up. */
    public void bufferKilobytes(int kilobytes) throws SyscallException {
        write(directory.resolve("buffer_size_kb"), Integer.toString(kilobytes));
    }

    /** The clock of the timestamps, for example {@code mono}: CLOCK_MONOTONIC, that of {@link System#nanoTime}. */
    public void clock(String clock) throws SyscallException {
        write(directory.resolve("trace_clock"), clock);
    }

    /**
     * Traces an event from now on.
     *
     * @param event system and name, for example {@code filemap:filemap_set_wb_err}
     * @param filter in the form of the event's {@code filter} file, for example {@code s_dev == 7340032}
     * @throws SyscallException ENOENT if the kernel has no such event, EINVAL if the filter does not fit it
     */
    public void enable(String event, String filter) throws SyscallException {
        String[] systemAndName = event.split(":", 2);
        Path eventDirectory =
                directory.resolve("events").resolve(systemAndName[0]).resolve(systemAndName[systemAndName.length - 1]);
        write(eventDirectory.resolve("filter"), filter);
        Path enable = eventDirectory.resolve("enable");
        write(enable, "1");
        enabled.add(enable);
    }

    /**
     * What {@link Poll} wakes for as soon as an event is there. {@code trace_pipe} and not {@code trace_pipe_raw}: polling the
     * latter waits until the buffer is half full unless {@code buffer_percent} was set before.
     */
    public Fd pipe() throws SyscallException {
        if (pipe == null) {
            pipe = SystemCalls.open(directory.resolve("trace_pipe"), OpenFlags.READ_ONLY | OpenFlags.NON_BLOCKING, 0);
        }
        return pipe;
    }

    /**
     * The events that are there now as lines of text, each given once, in order of time; at most about 256 KiB, what is beyond
     * that stays for the next call. Each byte is one character: a process's name is in the line, in any bytes. Empty if there
     * are none. Never blocks.
     */
    public String read() throws SyscallException {
        Fd source = pipe();
        StringBuilder text = new StringBuilder();
        try (CallFrame frame = new CallFrame()) {
            MemorySegment buffer = frame.allocate(READ_BYTES);
            for (int reads = 0; reads < MOST_READS; reads++) {
                long count = SystemCalls.readAvailable(source, buffer);
                if (count == 0) {
                    break;
                }
                byte[] bytes = buffer.asSlice(0, count).toArray(ValueLayout.JAVA_BYTE);
                text.append(new String(bytes, StandardCharsets.ISO_8859_1));
            }
        }
        return text.toString();
    }

    private static void write(Path file, String text) throws SyscallException {
        try (Fd opened = SystemCalls.open(file, OpenFlags.READ_WRITE, 0)) {
            SystemCalls.write(opened, text.getBytes(StandardCharsets.US_ASCII));
        } catch (SyscallException failure) {
            SyscallException explained = new SyscallException(
                    failure.operation(), failure.arguments() + ", \"" + text + "\"", failure.errno());
            explained.initCause(failure);
            throw explained;
        }
    }

    /** A stale one, or ours: EBUSY is tried again for half a second. One that is gone already is no error. */
    private static void remove(Path directory) throws SyscallException {
        for (int tries = 1; ; tries++) {
            try {
                Entries.rmdir(directory);
                return;
            } catch (SyscallException failure) {
                if (failure.errno().is(Errno.ENOENT)) {
                    return;
                }
                if (!failure.errno().is(Errno.EBUSY) || tries == MOST_REMOVALS) {
                    throw failure;
                }
            }
            LockSupport.parkNanos(REMOVAL_PAUSE_NANOS);
        }
    }

    /** Stops tracing and removes the instance. May be repeated, also after it failed. */
    @Override
    public void close() throws SyscallException {
        if (isClosed) {
            return;
        }
        if (pipe != null) {
            pipe.close();
        }
        if (Entries.exists(directory)) {
            for (Path enable : enabled) {
                write(enable, "0");
            }
        }
        remove(directory);
        isClosed = true;
        if (ownMount != null) {
            ownMount.close();
        }
    }
}
