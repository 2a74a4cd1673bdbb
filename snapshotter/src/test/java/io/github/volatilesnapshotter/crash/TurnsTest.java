package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.EnumSet;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

class TurnsTest {
    private static final Set<CrashPoint> POINTS =
            EnumSet.of(CrashPoint.ID_GIVEN, CrashPoint.DIRECTORY_MADE, CrashPoint.WRITTEN);

    private final Turns turns = new Turns(POINTS, 4_711);

    @Test
    void one_that_was_not_reached_comes_again_before_those_that_were() {
        CrashPoint first = turns.next(_ -> true);
        turns.tried(first, false);
        assertThat(turns.isRetried(first)).isTrue();
        for (int i = 0; i < 2; i++) {
            CrashPoint other = turns.next(_ -> true);
            assertThat(other).isNotEqualTo(first);
            turns.tried(other, true);
        }
        assertThat(turns.next(_ -> true)).isEqualTo(first);
        assertThat(turns.next(_ -> true)).isEqualTo(first);
        assertThat(turns.neverReached()).containsExactly(first);
    }

    @Test
    void when_all_were_reached_all_take_turns() {
        POINTS.forEach(point -> turns.tried(point, true));
        assertThat(Stream.generate(() -> turns.next(_ -> true)).limit(POINTS.size()))
                .containsExactlyInAnyOrderElementsOf(POINTS);
        assertThat(turns.neverReached()).isEmpty();
    }

    @Test
    void one_that_a_round_can_not_come_to_is_left_for_another() {
        for (int i = 0; i < 3; i++) {
            assertThat(turns.next(point -> point == CrashPoint.WRITTEN)).isEqualTo(CrashPoint.WRITTEN);
            turns.tried(CrashPoint.WRITTEN, true);
        }
        assertThat(turns.neverReached()).containsExactlyInAnyOrder(CrashPoint.ID_GIVEN, CrashPoint.DIRECTORY_MADE);
    }
}
