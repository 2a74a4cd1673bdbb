package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.LoggedLines;
import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A signal of the kernel that breaks, or is not there. */
class SignalSourceTest {
    private static final Device DEVICE = new Device(7, 0);

    // Not zero: nanoTime may begin anywhere, also below it.
    private long nowNanos = -TimeUnit.SECONDS.toNanos(10);

    private final FakeSignal signal = new FakeSignal();
    private final LoggedLines log = LoggedLines.of(SignalSource.class.getName());

    @AfterEach
    void stop_listening_to_the_log() {
        log.close();
    }

    /** What a kernel would say, and whether it lets anybody listen. */
    private static final class FakeSignal implements SignalSource.Opening<String> {
        private final Deque<String> toSay = new ArrayDeque<>();
        private final List<FakeListening> opened = new ArrayList<>();
        private int attempts;
        private boolean isMissing;
        private boolean isRefused;
        private boolean isBroken;

        @Override
        public Optional<FakeListening> open() throws SyscallException {
            attempts++;
            if (isRefused) {
                throw failure("open");
            }
            if (isMissing) {
                return Optional.empty();
            }
            opened.add(new FakeListening(this));
            return Optional.of(opened.getLast());
        }

        private static SyscallException failure(String operation) {
            return new SyscallException(operation, "fake", Errno.EPERM, null);
        }
    }

    private static final class FakeListening implements SignalSource.Listening<String> {
        private final FakeSignal signal;
        private boolean isClosed;

        FakeListening(FakeSignal signal) {
            this.signal = signal;
        }

        @Override
        public Fd fd() {
            try {
                return Fd.openReadOnly(Path.of("/dev/null"));
            } catch (SyscallException e) {
                throw new AssertionError(e);
            }
        }

        @Override
        public Optional<String> read() throws SyscallException {
            if (signal.isBroken) {
                throw FakeSignal.failure("read");
            }
            return Optional.ofNullable(signal.toSay.poll());
        }

        @Override
        public void close() {
            isClosed = true;
        }
    }

    private SignalSource<String> source(FakeSignal of) {
        return new SignalSource<>("signal", "all is found later", DEVICE, of, () -> nowNanos);
    }

    private void pass(long seconds, SignalSource<String> source) {
        nowNanos += TimeUnit.SECONDS.toNanos(seconds);
        source.reopenIfDue();
    }

    @Test
    void it_is_opened_at_once_and_says_what_there_is_to_say() {
        signal.toSay.add("an error");
        SignalSource<String> source = source(signal);

        assertThat(source.isOpen()).isTrue();
        assertThat(source.fd()).get().satisfies(Fd::close);
        assertThat(source.read()).contains("an error");
        assertThat(source.read()).isEmpty();
        assertThat(log.all()).isEmpty();
    }

    @Test
    void one_that_cannot_be_read_is_closed_and_that_is_said_once() {
        SignalSource<String> source = source(signal);
        signal.isBroken = true;

        for (int reads = 0; reads < 3; reads++) {
            assertThat(source.read()).isEmpty();
        }

        assertThat(signal.opened)
                .singleElement()
                .satisfies(listening -> assertThat(listening.isClosed).isTrue());
        assertThat(source.isOpen()).isFalse();
        assertThat(source.fd()).isEmpty();
        assertThat(log.all()).singleElement().satisfies(line -> {
            assertThat(line.message()).contains("signal").contains("all is found later");
            assertThat(line.field("device")).isEqualTo("7:0");
            assertThat(line.field("cause")).contains("EPERM");
        });
    }

    @Test
    void one_that_wakes_a_hundred_times_for_nothing_is_closed() {
        SignalSource<String> source = source(signal);
        for (int reads = 1; reads < SignalSource.MOST_EMPTY_READS; reads++) {
            assertThat(source.read()).isEmpty();
        }
        assertThat(source.isOpen()).isTrue();

        assertThat(source.read()).isEmpty();

        assertThat(source.isOpen()).isFalse();
        assertThat(log.all()).hasSize(1);
    }

    @Test
    void what_it_says_in_between_begins_the_count_anew() {
        SignalSource<String> source = source(signal);
        for (int round = 0; round < 3; round++) {
            for (int reads = 1; reads < SignalSource.MOST_EMPTY_READS; reads++) {
                assertThat(source.read()).isEmpty();
            }
            signal.toSay.add("an error");
            assertThat(source.read()).contains("an error");
        }

        assertThat(source.isOpen()).isTrue();
        assertThat(log.all()).isEmpty();
    }

    @Test
    void it_is_opened_again_after_a_minute_and_not_before() {
        SignalSource<String> source = source(signal);
        signal.isBroken = true;
        assertThat(source.read()).isEmpty();
        signal.isBroken = false;

        pass(SignalSource.REOPEN_SECONDS - 1, source);
        assertThat(source.isOpen()).isFalse();
        pass(1, source);

        assertThat(source.isOpen()).isTrue();
        assertThat(signal.opened).hasSize(2);
        assertThat(log.all())
                .hasSize(2)
                .last()
                .satisfies(line -> assertThat(line.message()).isEqualTo("signal is back"));
        for (int reads = 1; reads < SignalSource.MOST_EMPTY_READS; reads++) {
            assertThat(source.read()).isEmpty();
        }
        assertThat(source.isOpen()).as("the count begins anew as well").isTrue();
    }

    @Test
    void one_that_breaks_again_and_again_is_opened_once_a_minute() {
        SignalSource<String> source = source(signal);
        signal.isBroken = true;
        for (int seconds = 0; seconds < 3 * SignalSource.REOPEN_SECONDS; seconds++) {
            assertThat(source.read()).isEmpty();
            pass(1, source);
        }

        assertThat(signal.attempts).isEqualTo(1 + 3);
    }

    @Test
    void one_that_is_refused_at_first_is_tried_again_and_only_the_first_refusal_is_said() {
        signal.isRefused = true;
        SignalSource<String> source = source(signal);
        assertThat(source.isOpen()).isFalse();
        pass(SignalSource.REOPEN_SECONDS, source);
        pass(SignalSource.REOPEN_SECONDS, source);
        assertThat(signal.attempts).isEqualTo(3);
        assertThat(log.all()).singleElement().satisfies(line -> {
            assertThat(line.message()).isEqualTo("no signal: all is found later");
            assertThat(line.field("failure")).contains("EPERM");
        });

        signal.isRefused = false;
        pass(SignalSource.REOPEN_SECONDS, source);

        assertThat(source.isOpen()).isTrue();
        assertThat(log.beginning("signal is back")).hasSize(1);
    }

    @Test
    void one_that_the_kernel_does_not_have_is_never_tried_again_and_no_word_is_said() {
        signal.isMissing = true;
        SignalSource<String> source = source(signal);
        signal.isMissing = false;

        for (int minutes = 0; minutes < 100; minutes++) {
            pass(SignalSource.REOPEN_SECONDS, source);
        }

        assertThat(source.isOpen()).isFalse();
        assertThat(signal.attempts).isEqualTo(1);
        assertThat(log.all()).isEmpty();
    }

    @Test
    void one_that_fails_does_not_affect_another() {
        FakeSignal other = new FakeSignal();
        SignalSource<String> source = source(signal);
        SignalSource<String> sound = source(other);
        signal.isBroken = true;
        other.toSay.add("an error");

        assertThat(source.read()).isEmpty();

        assertThat(source.isOpen()).isFalse();
        assertThat(sound.isOpen()).isTrue();
        assertThat(sound.read()).contains("an error");
        assertThat(other.opened)
                .singleElement()
                .satisfies(listening -> assertThat(listening.isClosed).isFalse());
    }

    @Test
    void nothing_is_read_after_a_close() {
        SignalSource<String> source = source(signal);
        signal.toSay.add("an error");
        source.close();

        assertThat(source.read()).isEmpty();
        assertThat(signal.opened.getFirst().isClosed).isTrue();
        assertThat(log.all()).isEmpty();
    }
}
