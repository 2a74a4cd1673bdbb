package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Only root may give a thread more than its share. */
@Tag("kernel")
class UrgentThreadsTest {
    private static final String MEMBER = "urgent-member";
    private static final String OTHER = "urgent-other";
    private static final int BOUND_SECONDS = 20;

    private final UrgentThreads threads = new UrgentThreads();
    private final ExecutorService member =
            Executors.newSingleThreadExecutor(Thread.ofPlatform().name(MEMBER).factory());
    private final ExecutorService other =
            Executors.newSingleThreadExecutor(Thread.ofPlatform().name(OTHER).factory());

    private static <T> T on(ExecutorService thread, Callable<T> work) throws Exception {
        return thread.submit(work).get(BOUND_SECONDS, TimeUnit.SECONDS);
    }

    private static void run(ExecutorService thread, Runnable work) throws Exception {
        var _ = on(thread, Executors.callable(work));
    }

    @AfterEach
    void stop() throws InterruptedException {
        for (ExecutorService thread : List.of(member, other)) {
            thread.shutdownNow();
            // The next test looks for threads of these names.
            assertThat(thread.awaitTermination(BOUND_SECONDS, TimeUnit.SECONDS)).isTrue();
        }
    }

    @Test
    void they_go_ahead_while_that_is_asked_for_and_others_never() throws Exception {
        run(member, threads::enter);
        run(other, () -> {});
        assertThat(ThreadsByName.niceness(MEMBER)).containsExactly(0);

        threads.setUrgent(true);
        assertThat(ThreadsByName.niceness(MEMBER)).containsExactly(-10);
        assertThat(ThreadsByName.niceness(OTHER)).containsExactly(0);

        threads.setUrgent(false);
        assertThat(ThreadsByName.niceness(MEMBER)).containsExactly(0);
    }

    @Test
    void one_that_comes_meanwhile_goes_ahead_too_and_one_that_leaves_is_left_alone() throws Exception {
        threads.setUrgent(true);

        int within = on(member, () -> {
            threads.runAsOne(() -> assertThat(ThreadsByName.niceness(MEMBER)).containsExactly(-10));
            return ThreadsByName.niceness(MEMBER).iterator().next();
        });

        assertThat(within).isZero();
        threads.setUrgent(false);
        threads.setUrgent(true);
        assertThat(ThreadsByName.niceness(MEMBER)).containsExactly(0);
    }
}
