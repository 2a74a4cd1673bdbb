package io.github.volatilesnapshotter.lab;

import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.MatchResult;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The kernel's own word on the writeback errors of one disk: an instance of tracefs with the event
 * {@code filemap:filemap_set_wb_err}, which is hit wherever a superblock's error state is set.
 *
 * <p>Needs root. Closing removes the instance.
 */
public final class WritebackTrace implements AutoCloseable {
    private static final AtomicInteger INSTANCES = new AtomicInteger();
    private static final Pattern EVENT =
            Pattern.compile("filemap_set_wb_err: dev=(\\d+:\\d+) ino=0x(\\p{XDigit}+) errseq=0x\\p{XDigit}+");
    // A dev_t as the kernel has it inside, include/linux/kdev_t.h.
    private static final int MINOR_BITS = 20;

    private final Path tracefs;
    private final Path instance;

    /**
     * A writeback error.
     *
     * @param number major and minor number of the superblock
     * @param inode number of the inode whose page was lost; for file system metadata on a block device it is the device number
     */
    public record Event(String number, long inode) {
        private static Event of(MatchResult match) {
            return new Event(match.group(1), Long.parseLong(match.group(2), 16));
        }
    }

    private WritebackTrace(Path tracefs, Path instance) {
        this.tracefs = tracefs;
        this.instance = instance;
    }

    /** Traces errors of this disk, of its files and of its metadata, from now on. */
    public static WritebackTrace of(Disk disk) throws IOException {
        // A mount of its own shows the same instances, and is there also where nobody mounted tracefs.
        Path tracefs = Files.createTempDirectory("tracefs-");
        Command.run("mount", "-t", "tracefs", "tracefs", tracefs.toString());
        Path instance = tracefs.resolve("instances")
                .resolve("volatile-lab-" + ProcessHandle.current().pid() + "-" + INSTANCES.incrementAndGet());
        WritebackTrace trace = new WritebackTrace(tracefs, instance);
        try {
            trace.enable(superblockNumber(disk));
            return trace;
        } catch (IOException e) {
            try {
                trace.close();
            } catch (IOException closing) {
                e.addSuppressed(closing);
            }
            throw e;
        }
    }

    private static long superblockNumber(Disk disk) {
        String[] number = disk.number().split(":", 2);
        return (Long.parseLong(number[0]) << MINOR_BITS) | Long.parseLong(number[1]);
    }

    private void enable(long superblock) throws IOException {
        Files.createDirectory(instance);
        Path event = instance.resolve("events/filemap/filemap_set_wb_err");
        // The second half is metadata: the inode number of a block device is its device number.
        Files.writeString(event.resolve("filter"), "s_dev == " + superblock + " || i_ino == " + superblock);
        Files.writeString(event.resolve("enable"), "1");
    }

    /** The errors so far. */
    public List<Event> events() throws IOException {
        Matcher events = EVENT.matcher(Files.readString(instance.resolve("trace")));
        return events.results().map(Event::of).toList();
    }

    /**
     * Waits for at least one error.
     *
     * @throws org.awaitility.core.ConditionTimeoutException if none comes within the bound
     */
    public List<Event> awaitEvents(Duration bound) {
        return await("a writeback error in the trace")
                .atMost(bound)
                .pollInterval(Duration.ofMillis(5))
                .until(this::events, events -> !events.isEmpty());
    }

    @Override
    public void close() throws IOException {
        if (!Files.exists(tracefs)) {
            return;
        }
        Files.deleteIfExists(instance);
        Command.run("umount", tracefs.toString());
        Files.delete(tracefs);
    }
}
