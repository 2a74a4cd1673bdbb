package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.linux.TraceInstance;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * The kernel's own word on the writeback errors of one superblock, at the moment they happen: the event {@code
 * filemap:filemap_set_wb_err}, which is hit wherever a superblock's error state is set (mapping_set_error and
 * mark_buffer_write_io_error, which are all that write {@code s_wb_err}). Costs nothing while there are no errors. It says when to
 * look and at which files; that there was an error only the kernel's own samples say.
 *
 * <p>One thread at a time. Closing removes what it has in tracefs.
 */
public final class ErrorTrace implements AutoCloseable {
    private static final String EVENT = "filemap:filemap_set_wb_err";
    /** Of each processor; holds a few hundred events. */
    private static final int BUFFER_KILOBYTES = 16;
    /** Files that one {@link #read} tells apart: each lost page is an event, and a disk that fails loses many. */
    static final int MOST_EVENTS = 1024;
    /** Of a dev_t inside the kernel, include/linux/kdev_t.h. */
    private static final int MINOR_BITS = 20;
    /** Inodes of block devices lie on a superblock without a device. */
    private static final int PSEUDO_MAJOR = 0;

    /** {@code CPU:1 [LOST 12 EVENTS]}, or without the number where it is not known. */
    private static final Pattern LOST = Pattern.compile("\\[LOST (?:(\\d{1,18}) )?EVENTS\\]");
    /** What precedes, a process's name among it, is not looked at. */
    private static final Pattern LINE = Pattern.compile(
            " (\\d{1,9})\\.(\\d{6}): filemap_set_wb_err: dev=(\\d{1,9}:\\d{1,9}) ino=0x(\\p{XDigit}{1,16})(?!\\p{XDigit})");

    private static final String EXAMPLE = """
            CPU:1 [LOST 12 EVENTS]
               kworker/u8:3-1234    [001] .....  1200.000042: filemap_set_wb_err: dev=0:1 ino=0x1f errseq=0x5
            """;

    private final TraceInstance instance;
    private final Fd pipe;
    private final Parser parser;

    private ErrorTrace(TraceInstance instance, Fd pipe, Parser parser) {
        this.instance = instance;
        this.pipe = pipe;
        this.parser = parser;
    }

    /**
     * Traces from now on.
     *
     * @param superblock its number in mountinfo, not st_dev: on btrfs they differ
     * @param blockDevices those that it lies on, see {@link BlockDevices}
     * @param instanceName a directory in tracefs; what is left of an earlier one of this name is replaced
     * @throws SyscallException if the kernel does not let us trace; says why
     */
    public static ErrorTrace open(Device superblock, Set<Device> blockDevices, String instanceName)
            throws SyscallException {
        TraceInstance instance = TraceInstance.create(instanceName);
        try {
            instance.clock("mono");
            instance.bufferKilobytes(BUFFER_KILOBYTES);
            Fd pipe = instance.pipe();
            // Before there are events: the first one shall not wait until code that never ran is loaded, some
            // milliseconds.
            new Parser(superblock, blockDevices).parse(EXAMPLE);
            instance.read();
            instance.enable(EVENT, filter(superblock, blockDevices));
            return new ErrorTrace(instance, pipe, new Parser(superblock, blockDevices));
        } catch (SyscallException failure) {
            try {
                instance.close();
            } catch (SyscallException closing) {
                failure.addSuppressed(closing);
            }
            throw failure;
        }
    }

    /** A block device's pages belong to an inode whose number is the device's, on a superblock that is nobody's. */
    private static String filter(Device superblock, Set<Device> blockDevices) {
        return new TreeSet<>(blockDevices.stream().map(ErrorTrace::number).toList())
                .stream()
                        .map(number -> " || i_ino == " + number)
                        .collect(Collectors.joining("", "s_dev == " + number(superblock), ""));
    }

    private static long number(Device device) {
        return (long) device.major() << MINOR_BITS | device.minor();
    }

    /** Readable as soon as there is an event. */
    public Fd fd() {
        return pipe;
    }

    /**
     * What was not written back since the last call, one for each inode, the earliest; none if there was nothing. Never blocks.
     * After a storm of errors some stay for the next call, and {@link #fd} stays readable.
     */
    public List<FailedWriteback> read() throws SyscallException {
        return parser.parse(instance.read());
    }

    /** Events that the kernel dropped so far, because they came faster than they were read: their inodes are not known. */
    public long lost() {
        return parser.lost();
    }

    /** Stops tracing; may be repeated, also after it failed. */
    @Override
    public void close() throws SyscallException {
        instance.close();
    }

    /** The text of trace_pipe. Lines that it does not know are left out. */
    static final class Parser {
        private static final long NANOS_IN_SECOND = 1_000_000_000;
        private static final long NANOS_IN_MICROSECOND = 1_000;
        private static final int HEXADECIMAL = 16;

        private final Device superblock;
        private final Map<Long, Device> blockDevices;
        private long lost;

        Parser(Device superblock, Set<Device> blockDevices) {
            this.superblock = superblock;
            this.blockDevices = blockDevices.stream().collect(Collectors.toMap(ErrorTrace::number, device -> device));
        }

        long lost() {
            return lost;
        }

        List<FailedWriteback> parse(String text) {
            List<FailedWriteback> events = new ArrayList<>();
            Set<InodeOf> known = new HashSet<>();
            text.lines().forEach(line -> {
                Matcher lostEvents = LOST.matcher(line);
                if (lostEvents.find()) {
                    lost += lostEvents.group(1) == null ? 1 : Long.parseLong(lostEvents.group(1));
                } else {
                    event(line)
                            .filter(event -> events.size() < MOST_EVENTS
                                    && known.add(new InodeOf(event.device(), event.inode())))
                            .ifPresent(events::add);
                }
            });
            return events;
        }

        private Optional<FailedWriteback> event(String line) {
            Matcher matcher = LINE.matcher(line);
            if (!matcher.find()) {
                return Optional.empty();
            }
            long atNanos = Long.parseLong(matcher.group(1)) * NANOS_IN_SECOND
                    + Long.parseLong(matcher.group(2)) * NANOS_IN_MICROSECOND;
            Device device = Device.parse(matcher.group(3));
            long inode = Long.parseUnsignedLong(matcher.group(4), HEXADECIMAL);
            if (device.equals(superblock)) {
                return Optional.of(new FailedWriteback(device, inode, atNanos));
            }
            if (device.major() != PSEUDO_MAJOR) {
                // An inode of another filesystem that happens to have that number.
                return Optional.empty();
            }
            return Optional.ofNullable(blockDevices.get(inode))
                    .map(hit -> new FailedWriteback(hit, FailedWriteback.NO_INODE, atNanos));
        }

        private record InodeOf(Device device, long inode) {}
    }
}
