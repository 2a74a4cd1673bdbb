package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SaidLatelyTest {
    private long nowNanos = -TimeUnit.HOURS.toNanos(1);
    private final SaidLately lately = new SaidLately(() -> nowNanos);

    @Test
    void what_was_said_is_not_said_again_for_a_while() {
        assertThat(lately.fresh(List.of("a", "b"))).containsExactly("a", "b");
        assertThat(lately.fresh(List.of("b", "c", "a"))).containsExactly("c");

        nowNanos += TimeUnit.MINUTES.toNanos(SaidLately.SILENCE_MINUTES) - 1;
        assertThat(lately.fresh(List.of("a"))).isEmpty();
        nowNanos++;
        assertThat(lately.fresh(List.of("a"))).containsExactly("a");
    }

    @Test
    void a_flood_of_other_texts_has_a_bound() {
        List<String> flood = IntStream.range(0, 10 * SaidLately.MOST_TEXTS)
                .mapToObj(Integer::toString)
                .toList();
        assertThat(lately.fresh(flood)).hasSize(SaidLately.MOST_TEXTS);
        assertThat(lately.fresh(List.of("another"))).isEmpty();
    }
}
