package io.github.volatilesnapshotter.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Semaphore;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
class LineQueueTest {
    private static final int LINE_BYTES = "line 00\n".length();

    /** A reader that reads when the test lets it. */
    private static final class Reader extends OutputStream {
        private final Semaphore reads = new Semaphore(0);
        private final ByteArrayOutputStream seen = new ByteArrayOutputStream();

        @Override
        public void write(int single) {
            throw new UnsupportedOperationException();
        }

        @Override
        public void write(byte[] bytes) throws IOException {
            reads.acquireUninterruptibly();
            synchronized (seen) {
                seen.write(bytes);
            }
        }

        List<String> lines() {
            synchronized (seen) {
                return seen.toString(StandardCharsets.UTF_8).lines().toList();
            }
        }
    }

    private final Reader reader = new Reader();

    private LineQueue queue(int mostLines) {
        LineQueue queue = new LineQueue(reader, (long) mostLines * LINE_BYTES, lines -> "dropped " + lines + "\n");
        queue.start("log-test");
        return queue;
    }

    @AfterEach
    void let_it_read() {
        reader.reads.release(1_000);
    }

    private static String line(int number) {
        return "line %02d\n".formatted(number);
    }

    @Test
    void lines_are_written_in_order_and_whole() {
        LineQueue queue = queue(100);
        reader.reads.release(1_000);
        List<String> expected = new ArrayList<>();
        for (int number = 0; number < 50; number++) {
            queue.add(line(number));
            expected.add(line(number).strip());
        }

        assertThat(queue.flush(10_000)).isTrue();
        assertThat(reader.lines()).isEqualTo(expected);
        assertThat(queue.dropped()).isZero();
    }

    @Test
    void a_reader_that_does_not_read_holds_nobody_up_and_is_told_what_it_has_missed() {
        LineQueue queue = queue(10);
        for (int number = 0; number < 30; number++) {
            queue.add(line(number));
        }
        assertThat(queue.dropped()).isEqualTo(20);
        assertThat(queue.flush(20)).as("a bounded wait").isFalse();

        reader.reads.release(10);
        await().until(() -> queue.waiting() == 0 && queue.flush(0));
        reader.reads.release(1_000);
        queue.add(line(30));

        assertThat(queue.flush(10_000)).isTrue();
        assertThat(reader.lines()).hasSize(12).startsWith("line 00").endsWith("line 09", "dropped 20", "line 30");
        assertThat(queue.dropped()).isEqualTo(20);
    }
}
