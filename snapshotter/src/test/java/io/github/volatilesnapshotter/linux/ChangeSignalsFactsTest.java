package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** What the kernel wakes whom for, beside the reports of {@link FileSystemSignalsTest}: mounts, and counts of errors. */
@Tag("kernel")
class ChangeSignalsFactsTest {
    private static final int BOUND_MILLIS = 20_000;

    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    @Test
    void a_mount_and_its_end_wake_who_polls_mountinfo() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(temp.path(), "overlay");
        try (Fd table = Fd.openReadOnly(Path.of("/proc/self/mountinfo"))) {
            awaitQuiet(table);
            overlay.mount(true);
            assertThat(RawCalls.awaitChange(table, BOUND_MILLIS)).isTrue();

            awaitQuiet(table);
            Mounting.unmount(overlay.merged());
            assertThat(RawCalls.awaitChange(table, BOUND_MILLIS)).isTrue();
        }
    }

    /** Somebody else may mount as well. */
    private static void awaitQuiet(Fd table) {
        await().untilAsserted(() -> assertThat(RawCalls.awaitChange(table, 0)).isFalse());
    }

    /** By the number that is never used twice, which statx and statmount have too. */
    @Test
    void a_mount_and_its_end_are_told_with_its_number() throws IOException {
        OverlayOnDisk overlay = OverlayOnDisk.prepare(temp.path(), "overlay");
        try (MountEvents events = MountEvents.ofThisNamespace()) {
            assertThat(events.maskOf(0)).isZero();
            overlay.mount(true);
            Long number = SystemCalls.uniqueMountId(overlay.merged());
            assertThat(number).isNotNull();
            assertThat(events.maskOf(number)).isEqualTo(MountEvents.ATTACHED);

            Mounting.unmount(overlay.merged());
            assertThat(events.maskOf(number)).isEqualTo(MountEvents.DETACHED);
        }
    }

    /** fanotify of a mount namespace: FAN_REPORT_MNT, Linux 6.15. */
    private record MountEvents(Fd group) implements AutoCloseable {
        static final long ATTACHED = 0x0100_0000;
        static final long DETACHED = 0x0200_0000;

        private static final int NON_BLOCKING_CLOSE_ON_EXEC = 0x3;
        private static final int REPORT_MOUNT = 0x4000;
        private static final int ADD_TO_MOUNT_NAMESPACE = 0x1 | 0x110;
        private static final int MASK_OFFSET = 8;
        private static final int NUMBER_OFFSET = 24 + 8;
        private static final int EVENT_BYTES = 24 + 16;
        private static final int MOST_EVENTS = 64;

        static MountEvents ofThisNamespace() throws SyscallException {
            try (CallFrame frame = new CallFrame();
                    Fd namespace = Fd.openReadOnly(Path.of("/proc/self/ns/mnt"))) {
                int number = LibC.fanotifyInit(frame.callState(), NON_BLOCKING_CLOSE_ON_EXEC | REPORT_MOUNT, 0);
                frame.check(number, "fanotify_init", "FAN_REPORT_MNT");
                Fd group = new Fd(number, CString.of("fanotify"));
                int result = LibC.fanotifyMark(
                        frame.callState(),
                        number,
                        ADD_TO_MOUNT_NAMESPACE,
                        ATTACHED | DETACHED,
                        namespace.number(),
                        MemorySegment.NULL);
                if (result == -1) {
                    group.close();
                    throw frame.failure("fanotify_mark", "FAN_MARK_MNTNS");
                }
                return new MountEvents(group);
            }
        }

        /** What happened to a mount since the last call; 0 for nothing. */
        long maskOf(long uniqueMountId) throws SyscallException {
            long mask = 0;
            try (CallFrame frame = new CallFrame()) {
                MemorySegment buffer = frame.allocate((long) MOST_EVENTS * EVENT_BYTES);
                long lengthBytes = SystemCalls.readAvailable(group, buffer);
                for (long offset = 0; offset < lengthBytes; offset += EVENT_BYTES) {
                    if (buffer.get(JAVA_LONG_UNALIGNED, offset + NUMBER_OFFSET) == uniqueMountId) {
                        mask |= buffer.get(JAVA_LONG_UNALIGNED, offset + MASK_OFFSET);
                    }
                }
            }
            return mask;
        }

        @Override
        public void close() {
            group.close();
        }
    }

    @Test
    void a_higher_count_of_errors_wakes_who_polls_it_and_lost_data_do_not() throws IOException {
        try (FuseDisk disk = FuseDisk.create(FileSystem.EXT4)) {
            Path sysfs = Path.of("/sys/fs/ext4", disk.device().getFileName().toString());
            try (Fd count = Fd.openReadOnly(sysfs.resolve("errors_count"))) {
                assertThat(new String(SystemCalls.readAll(count), StandardCharsets.US_ASCII))
                        .isEqualTo("0\n");
                Damage.loseData(disk);
                assertThatThrownBy(disk::syncfs).isInstanceOf(IOException.class);
                assertThat(RawCalls.awaitChange(count, 0)).isFalse();

                Files.writeString(sysfs.resolve("trigger_fs_error"), "an error for a test");

                assertThat(RawCalls.awaitChange(count, BOUND_MILLIS)).isTrue();
            }
        }
    }

    /** Why the statistics of btrfs are nobody's signal: a thin pool that is full loses data, and they don't know. */
    @Test
    void btrfs_counts_writes_that_end_with_EIO_and_not_those_that_end_with_ENOSPC() throws IOException {
        try (FuseDisk disk = FuseDisk.create(FileSystem.BTRFS)) {
            Damage.loseData(disk);
            assertThat(deviceStatistics(disk.root())).anyMatch(line -> line.matches(".*write_io_errs +[1-9].*"));
        }
        try (FaultyDisk disk = FaultyDisk.create(FileSystem.BTRFS)) {
            Damage.loseWrites(disk);
            assertThat(deviceStatistics(disk.root())).anyMatch(line -> line.matches(".*write_io_errs +0"));
        }
    }

    private static List<String> deviceStatistics(Path root) throws IOException {
        return Command.run("btrfs", "device", "stats", root.toString()).lines().toList();
    }
}
