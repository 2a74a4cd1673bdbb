package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static io.github.volatilesnapshotter.linux.KernelAssertions.assertNoDescriptorLeft;
import static io.github.volatilesnapshotter.linux.KernelAssertions.openDescriptors;
import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Command;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

/** An instance of tracefs of our own, with an event of which one is made at will: the start of a program. */
@Tag("kernel")
class TraceInstanceTest {
    private static final String EVENT = "sched:sched_process_exec";
    private static final String OF_TRUE = "filename ~ \"*/true\"";
    private static final int BOUND_MILLIS = 20_000;

    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    private final String name = "volatile-test-" + ProcessHandle.current().pid();
    private Path seen;

    @BeforeEach
    void look_at_tracefs_from_elsewhere() throws IOException {
        Path tracefs = temp.directory("tracefs");
        Command.run("mount", "-t", "tracefs", "tracefs", tracefs.toString());
        seen = tracefs.resolve("instances").resolve(name);
    }

    @AfterEach
    void remove_what_is_left() throws IOException {
        Files.deleteIfExists(seen);
    }

    @Test
    void an_event_wakes_and_is_read_once() throws IOException {
        try (TraceInstance trace = TraceInstance.create(name)) {
            trace.clock("mono");
            trace.bufferKilobytes(16);
            trace.enable(EVENT, OF_TRUE);
            List<Fd> pipe = List.of(trace.pipe());
            assertThat(Poll.awaitReadable(pipe, 0)).isEmpty();
            assertThat(trace.read()).isEmpty();
            long before = System.nanoTime();

            Command.run("/bin/true");

            assertThat(Poll.awaitReadable(pipe, BOUND_MILLIS)).isEqualTo(pipe);
            assertThat(trace.read())
                    .containsOnlyOnce("sched_process_exec: filename=/bin/true")
                    .satisfies(text -> assertThat(timestampNanos(text)).isBetween(before - 1000, System.nanoTime()));
            assertThat(trace.read()).isEmpty();
            assertThat(Poll.awaitReadable(pipe, 0)).isEmpty();
        }
    }

    @Test
    void what_does_not_fit_the_filter_is_not_traced() throws IOException {
        try (TraceInstance trace = TraceInstance.create(name)) {
            trace.enable(EVENT, OF_TRUE);

            Command.run("/bin/echo");
            Command.run("/bin/true");

            assertThat(Poll.awaitReadable(List.of(trace.pipe()), BOUND_MILLIS)).hasSize(1);
            assertThat(trace.read()).contains("/bin/true").doesNotContain("/bin/echo");
        }
    }

    @Test
    void nothing_is_left_of_a_closed_one() throws IOException {
        int before = openDescriptors();
        TraceInstance trace = TraceInstance.create(name);
        trace.enable(EVENT, OF_TRUE);
        trace.pipe();
        assertThat(seen).isDirectory();

        trace.close();
        trace.close();

        assertThat(seen).doesNotExist();
        assertNoDescriptorLeft(before);
    }

    @Test
    void one_that_a_killed_daemon_left_is_taken_away_first() throws IOException {
        Files.createDirectory(seen);
        Files.writeString(seen.resolve("events/sched/sched_process_exec/enable"), "1");
        Command.run("/bin/true");

        try (TraceInstance trace = TraceInstance.create(name)) {
            Command.run("/bin/true");

            assertThat(trace.read()).isEmpty();
            assertThat(Files.readString(seen.resolve("events/sched/sched_process_exec/enable")))
                    .startsWith("0");
        }
    }

    @Test
    void one_that_is_in_use_is_busy() throws IOException {
        try (TraceInstance trace = TraceInstance.create(name)) {
            trace.pipe();
            int before = openDescriptors();

            assertErrno(Errno.EBUSY, () -> TraceInstance.create(name));

            assertNoDescriptorLeft(before);
        }
    }

    @Test
    void an_event_that_the_kernel_does_not_have_and_a_filter_that_does_not_fit_are_refused() throws IOException {
        try (TraceInstance trace = TraceInstance.create(name)) {
            assertErrno(Errno.ENOENT, () -> trace.enable("filemap:no_such_event", "1"));
            assertErrno(Errno.EINVAL, () -> trace.enable(EVENT, "no_such_field == 1"));
        }
    }

    private static long timestampNanos(String line) {
        String seconds = line.substring(0, line.indexOf(": sched_process_exec")).replaceAll(".* ", "");
        return Math.round(Double.parseDouble(seconds) * 1e9);
    }
}
