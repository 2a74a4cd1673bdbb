package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

final class PostponedTest {
    private static final Path PATH = Path.of("/root/trash/1.1");
    private static final Path OTHER = Path.of("/root/trash/2.2");

    /** Of a clock that passes its greatest number in between, as System.nanoTime may. */
    private long nanos = Long.MAX_VALUE - TimeUnit.SECONDS.toNanos(10);

    private final Postponed postponed = new Postponed(() -> nanos);

    private long pauseSeconds() {
        long pause = 0;
        while (!postponed.isDue(PATH)) {
            nanos += TimeUnit.SECONDS.toNanos(1);
            pause++;
        }
        return pause;
    }

    @Test
    void what_is_not_postponed_is_due() {
        assertThat(postponed.isDue(PATH)).isTrue();
        assertThat(postponed.size()).isZero();
    }

    @Test
    void each_pause_is_twice_as_long_as_the_one_before_up_to_an_hour() {
        assertThat(postponed.postpone(PATH)).isTrue();
        for (long seconds : new long[] {30, 60, 120, 240, 480, 960, 1_920, 3_600}) {
            assertThat(pauseSeconds()).isEqualTo(seconds);
            assertThat(postponed.postpone(PATH)).isFalse();
        }
        assertThat(pauseSeconds()).isEqualTo(3_600);
    }

    @Test
    void what_is_added_again_keeps_its_time() {
        assertThat(postponed.add(PATH)).isTrue();
        nanos += TimeUnit.SECONDS.toNanos(20);
        assertThat(postponed.add(PATH)).isFalse();
        assertThat(pauseSeconds()).isEqualTo(10);
    }

    @Test
    void what_has_worked_begins_anew_when_it_fails_again() {
        assertThat(postponed.postpone(PATH)).isTrue();
        assertThat(postponed.postpone(PATH)).isFalse();
        postponed.remove(PATH);
        assertThat(postponed.isDue(PATH)).isTrue();
        assertThat(postponed.postpone(PATH)).isTrue();
        assertThat(pauseSeconds()).isEqualTo(30);
    }

    @Test
    void only_those_that_are_still_there_are_kept() {
        boolean _ = postponed.add(PATH);
        boolean _ = postponed.add(OTHER);
        postponed.retainAll(List.of(OTHER));
        assertThat(postponed.paths()).containsExactly(OTHER);
        assertThat(postponed.size()).isOne();
    }
}
