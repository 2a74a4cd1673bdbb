package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Rounds of kill -9, as many as there is time for in a build; {@code deploy/kill-rounds} runs any number. */
@Tag("kernel")
final class KillRoundsTest {
    private static final int ROUNDS = Integer.getInteger("crash.rounds", 200);
    private static final int ROUNDS_ON_FAILING_DISKS = Integer.getInteger("crash.failing.rounds", 20);
    private static final int STOCK_ROUNDS = Integer.getInteger("crash.stock.rounds", 25);
    private static final long SEED = Long.getLong("crash.seed", KillSeries.newSeed());

    /** With so many rounds each point is reached. */
    private static final int ROUNDS_FOR_ALL_POINTS = 200;

    private static final int ROUNDS_ON_FAILING_DISKS_FOR_ALL_POINTS = 20;

    @TempDir
    private Path directory;

    /** First, so that it is there whatever ends the test. */
    @BeforeAll
    static void tellTheSeed() {
        System.out.println("seed " + SEED);
    }

    @Test
    void a_killed_daemon_loses_nothing_and_leaves_nothing_behind() throws Exception {
        Tally tally = KillSeries.kill(directory, ROUNDS, SEED);
        assertNothingIsWrong(tally);
        if (ROUNDS >= ROUNDS_FOR_ALL_POINTS) {
            assertEveryPointWasReached(tally, KillRounds.OF_LOADS, KillRounds.OF_STARTS);
        }
    }

    @Test
    void a_daemon_that_is_killed_while_its_disk_fails_loses_nothing_and_leaves_nothing_behind() throws Exception {
        boolean isForAllPoints = ROUNDS_ON_FAILING_DISKS >= ROUNDS_ON_FAILING_DISKS_FOR_ALL_POINTS;
        int most = isForAllPoints ? 2 * ROUNDS_ON_FAILING_DISKS : ROUNDS_ON_FAILING_DISKS;
        Tally tally = KillSeries.killWhileTheDiskFails(directory, ROUNDS_ON_FAILING_DISKS, most, SEED);
        assertNothingIsWrong(tally);
        if (isForAllPoints) {
            assertEveryPointWasReached(tally, KillRounds.OF_LOADS);
        }
    }

    /** For comparison: what is wrong is printed, and not asserted, as it depends on when the kill comes. */
    @Test
    void the_stock_snapshotter_is_checked_in_the_same_way() throws Exception {
        Tally tally = KillSeries.killStock(directory, STOCK_ROUNDS, SEED);
        tell(tally);
        assertThat(tally.count(Violation.Kind.LOST)).isZero();
    }

    private static void assertNothingIsWrong(Tally tally) {
        tell(tally);
        assertThat(tally.violations()).as("seed " + SEED).isEmpty();
    }

    private static void assertEveryPointWasReached(Tally tally, String... kinds) {
        assertThat(tally.neverReached(kinds))
                .as("seed " + SEED + ": points at which no daemon has died")
                .isEmpty();
    }

    private static void tell(Tally tally) {
        System.out.println("seed " + SEED + "\n" + tally.summary());
        tally.violations().forEach(System.out::println);
    }
}
