package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Poll;
import io.github.volatilesnapshotter.linux.Stat;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Real lost pages in the kernel's trace. */
@Tag("kernel")
@ParameterizedClass
@EnumSource(Disk.FileSystem.class)
class ErrorTraceTest {
    private static final int BOUND_MILLIS = 20_000;
    private static final int FILE_BYTES = 1 << 16;
    private static final int MOST_FILES = 1024;
    private static final int STORM_FILES = 4 * MOST_FILES;

    private final String name = "volatile-test-" + ProcessHandle.current().pid();

    @Parameter
    Disk.FileSystem fileSystem;

    @AutoClose
    FaultyDisk disk;

    @BeforeEach
    void make_the_disk() throws IOException {
        disk = FaultyDisk.create(fileSystem);
    }

    @Test
    void a_lost_page_wakes_and_names_its_inode_and_its_time() throws IOException {
        try (ErrorTrace trace = open(disk)) {
            disk.startFailing();
            assertThat(Poll.awaitReadable(List.of(trace.fd()), 0)).isEmpty();
            assertThat(trace.read()).isEmpty();
            long before = System.nanoTime();

            Path file = loseAFile(disk);

            assertThat(Poll.awaitReadable(List.of(trace.fd()), BOUND_MILLIS)).containsExactly(trace.fd());
            List<FailedWriteback> events = trace.read();
            long inode = Stat.of(file).inode();
            assertThat(events)
                    .filteredOn(event -> event.inode() == inode)
                    .singleElement()
                    .satisfies(event -> {
                        assertThat(event.device()).isEqualTo(Device.parse(disk.number()));
                        assertThat(event.isOfBlockDevice()).isFalse();
                        assertThat(event.atNanos()).isBetween(before - 1_000, System.nanoTime());
                    });
            assertThat(trace.read()).isEmpty();
            assertThat(trace.lost()).isZero();
        }
    }

    @Test
    void an_error_of_a_neighbour_is_not_seen() throws IOException {
        try (FaultyDisk neighbour = FaultyDisk.create(fileSystem);
                ErrorTrace trace = open(disk);
                ErrorTrace ofNeighbour = ErrorTrace.open(
                        Device.parse(neighbour.number()), blockDevices(neighbour), name + "-neighbour")) {
            neighbour.startFailing();
            loseAFile(neighbour);

            assertThat(Poll.awaitReadable(List.of(ofNeighbour.fd()), BOUND_MILLIS))
                    .hasSize(1);
            assertThat(ofNeighbour.read()).isNotEmpty();
            assertThat(Poll.awaitReadable(List.of(trace.fd()), 0)).isEmpty();
            assertThat(trace.read()).isEmpty();
        }
    }

    @Test
    void a_lost_page_of_the_block_device_is_said_to_be_one() throws IOException {
        try (ErrorTrace trace = open(disk)) {
            disk.startFailing();
            // As the journal's and the bitmaps' pages, one of the device's own; written where nobody has written
            // before.
            assertThatThrownBy(() -> Command.run(
                            "dd",
                            "if=/dev/urandom",
                            "of=" + disk.device(),
                            "bs=4096",
                            "count=1",
                            "seek=200000",
                            "conv=notrunc,fsync"))
                    .isInstanceOf(IOException.class);

            assertThat(Poll.awaitReadable(List.of(trace.fd()), BOUND_MILLIS)).hasSize(1);
            assertThat(trace.read()).singleElement().satisfies(event -> {
                assertThat(event.isOfBlockDevice()).isTrue();
                assertThat(Set.of(event.device())).isEqualTo(blockDevices(disk));
            });
        }
    }

    @Test
    void nothing_is_left_of_a_closed_one_and_a_stale_one_is_replaced() throws IOException {
        Path tracefs = Files.createTempDirectory("tracefs-");
        Command.run("mount", "-t", "tracefs", "tracefs", tracefs.toString());
        try {
            Path instance = Files.createDirectory(tracefs.resolve("instances").resolve(name));
            try (ErrorTrace trace = open(disk)) {
                assertThat(Files.readString(instance.resolve("trace_clock"))).contains("[mono]");
                disk.startFailing();
                loseAFile(disk);
                assertThat(Poll.awaitReadable(List.of(trace.fd()), BOUND_MILLIS))
                        .hasSize(1);
            }
            assertThat(instance).doesNotExist();
        } finally {
            Files.deleteIfExists(tracefs.resolve("instances").resolve(name));
            Command.run("umount", tracefs.toString());
            Files.delete(tracefs);
        }
    }

    @Test
    void a_storm_that_the_buffer_does_not_hold_is_counted() throws IOException {
        try (ErrorTrace trace = open(disk)) {
            disk.startFailing();
            // Some filesystems lose several files with one event.
            for (int number = 0; number < STORM_FILES; number++) {
                Disk.writeDirty(disk.root().resolve("storm" + number), FILE_BYTES);
            }
            assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);

            assertThat(Poll.awaitReadable(List.of(trace.fd()), BOUND_MILLIS)).hasSize(1);
            assertThat(trace.read()).isNotEmpty();
            assertThat(trace.lost()).isPositive();
        }
    }

    private ErrorTrace open(FaultyDisk disk) throws SyscallException {
        return ErrorTrace.open(Device.parse(disk.number()), blockDevices(disk), name);
    }

    private static Set<Device> blockDevices(FaultyDisk disk) throws SyscallException {
        return BlockDevices.of(MountInfo.containing(disk.root()));
    }

    /** Of ten failing btrfs disks one had room for a file or more, so files are written until one is lost. */
    private static Path loseAFile(FaultyDisk disk) throws IOException {
        for (int number = 0; number < MOST_FILES; number++) {
            Path file = disk.root().resolve("lost" + number);
            Disk.writeDirty(file, FILE_BYTES);
            try (Fd _ = Fd.openReadOnly(file)) {
                Disk.fsync(file);
            } catch (IOException _) {
                return file;
            }
        }
        throw new AssertionError("no file was lost");
    }
}
