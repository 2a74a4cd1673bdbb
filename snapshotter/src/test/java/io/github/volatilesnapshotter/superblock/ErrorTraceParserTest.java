package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.linux.Device;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** The text of trace_pipe. */
class ErrorTraceParserTest {
    private static final Device DISK = new Device(7, 1);
    private static final Device BTRFS = new Device(0, 45);

    private final ErrorTrace.Parser parser = new ErrorTrace.Parser(DISK, Set.of(DISK));

    @Test
    void an_event_has_superblock_inode_and_time() {
        assertThat(parser.parse(line("kworker/u8:3-1234", "1200.000042", "7:1", "0x1f")))
                .containsExactly(new FailedWriteback(DISK, 31, 1_200_000_042_000L));
    }

    @Test
    void each_inode_is_given_once_with_its_first_event() {
        String text = line("a-1", "1.000001", "7:1", "0xc")
                + line("a-1", "1.000002", "7:1", "0xd")
                + line("b-1", "1.000003", "7:1", "0xc");

        assertThat(parser.parse(text))
                .containsExactly(
                        new FailedWriteback(DISK, 12, 1_000_001_000L), new FailedWriteback(DISK, 13, 1_000_002_000L));
        assertThat(parser.parse(text)).as("the next time they are given again").hasSize(2);
    }

    @Test
    void a_page_of_the_block_device_is_told_from_a_file_of_the_same_inode_number() {
        String inode = "0x" + Integer.toHexString(7 << 20 | 1);

        assertThat(parser.parse(line("a-1", "1.000001", "0:3", inode) + line("a-1", "1.000002", "7:1", inode)))
                .containsExactly(
                        new FailedWriteback(DISK, FailedWriteback.NO_INODE, 1_000_001_000L),
                        new FailedWriteback(DISK, 7 << 20 | 1, 1_000_002_000L))
                .first()
                .matches(FailedWriteback::isOfBlockDevice);
    }

    @Test
    void of_a_btrfs_with_two_disks_each_is_known() {
        Device other = new Device(259, 3);
        ErrorTrace.Parser ofBtrfs = new ErrorTrace.Parser(BTRFS, Set.of(DISK, other));

        assertThat(ofBtrfs.parse(line("a-1", "1.000001", "0:3", "0x" + Integer.toHexString(259 << 20 | 3))
                        + line("a-1", "1.000002", "0:45", "0x1")))
                .containsExactly(
                        new FailedWriteback(other, FailedWriteback.NO_INODE, 1_000_001_000L),
                        new FailedWriteback(BTRFS, 1, 1_000_002_000L));
    }

    @Test
    void an_inode_number_may_have_64_bits() {
        assertThat(parser.parse(line("a-1", "1.000001", "7:1", "0xffffffffffffffff")))
                .extracting(FailedWriteback::inode)
                .containsExactly(-1L);
    }

    @Test
    void lost_events_are_counted() {
        assertThat(parser.parse("CPU:1 [LOST 12 EVENTS]\nCPU:0 [LOST EVENTS]\n"))
                .isEmpty();
        assertThat(parser.parse("CPU:0 [LOST 3 EVENTS]\n" + line("a-1", "1.000001", "7:1", "0xc")))
                .hasSize(1);

        assertThat(parser.lost()).isEqualTo(16);
    }

    @Test
    void lines_that_are_not_known_are_left_out() {
        assertThat(parser.parse("\n# tracer: nop\n a-1 [000] ..... 1.000001: other_event: dev=7:1 ino=0xc\n"
                        + " a-1 [000] ..... 1.000001: filemap_set_wb_err: dev=7:1\n"
                        + " a-1 [000] ..... 1.0001: filemap_set_wb_err: dev=7:1 ino=0xc errseq=0x0\n"
                        + " a-1 [000] ..... 1.000001: filemap_set_wb_err: dev=7:1 ino=0xfffffffffffffffff errseq=0x0\n"
                        + " a-1 [000] ..... 99999999999.000001: filemap_set_wb_err: dev=7:1 ino=0xc errseq=0x0\n"
                        + line("a-1", "1.000001", "9:1", "0xc") + "CPU:1 [LOST 9999999999999999999999 EVENTS]\n"
                        + " a-1 [000] ..... 1.000001: filemap_set_wb_err: dev=7:1 ino=0x"))
                .as("nothing known")
                .isEmpty();
    }

    @Test
    void a_process_may_have_any_name() {
        assertThat(parser.parse(line("x [1] 1.0: y\u00ff-12", "1.000001", "7:1", "0xc")))
                .hasSize(1);
    }

    @Test
    void a_storm_has_a_bound() {
        String storm = IntStream.rangeClosed(1, 5_000)
                .mapToObj(inode -> line("a-1", "1.000001", "7:1", "0x" + Integer.toHexString(inode)))
                .collect(Collectors.joining());

        assertThat(parser.parse(storm)).hasSize(ErrorTrace.MOST_EVENTS);
    }

    private static String line(String task, String seconds, String device, String inode) {
        return "  %16s   [000] .....  %s: filemap_set_wb_err: dev=%s ino=%s errseq=0x0%n"
                .formatted(task, seconds, device, inode);
    }
}
