package io.github.volatilesnapshotter.history;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.IntFunction;
import java.util.stream.Collectors;

/**
 * A record of operations, some at the same time, and the search for an order of them that a model could have seen: one that keeps
 * what was before before (linearizability). The search is that of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993),
 * which does not try again from a state and a set of operations that it has seen (Lowe, "Testing for linearizability", 2017).
 */
public final class History<C, A> {
    /** One bit for each operation. */
    private static final int MOST_OPERATIONS = Long.SIZE;

    private static final int BOUND_SECONDS = 60;

    private final List<Operation<C, A>> operations;

    private History(List<Operation<C, A>> operations) {
        if (operations.size() > MOST_OPERATIONS) {
            throw new IllegalArgumentException(operations.size() + " operations are more than " + MOST_OPERATIONS);
        }
        this.operations = operations;
    }

    /**
     * Lets threads run side by side, and then asks once more on this thread.
     *
     * @param next gives the calls of a thread, by its number
     * @param after calls that follow when all threads have ended
     */
    public static <C, A> History<C, A> of(
            int threads, int callsEach, IntFunction<Function<Integer, C>> next, List<C> after, Function<C, A> execute)
            throws Exception {
        List<Operation<C, A>> operations = new ArrayList<>();
        CyclicBarrier start = new CyclicBarrier(threads);
        try (ExecutorService executor = Executors.newFixedThreadPool(threads)) {
            List<Future<List<Operation<C, A>>>> running = new ArrayList<>();
            for (int thread = 0; thread < threads; thread++) {
                int number = thread;
                running.add(executor.submit(() -> {
                    Function<Integer, C> calls = next.apply(number);
                    List<Operation<C, A>> done = new ArrayList<>();
                    start.await(BOUND_SECONDS, TimeUnit.SECONDS);
                    for (int call = 0; call < callsEach; call++) {
                        done.add(execute(number, calls.apply(call), execute));
                    }
                    return done;
                }));
            }
            for (Future<List<Operation<C, A>>> thread : running) {
                operations.addAll(thread.get(BOUND_SECONDS, TimeUnit.SECONDS));
            }
        }
        for (C call : after) {
            operations.add(execute(threads, call, execute));
        }
        operations.sort(Comparator.comparingLong(Operation::begunNanos));
        return new History<>(operations);
    }

    private static <C, A> Operation<C, A> execute(int thread, C call, Function<C, A> execute) {
        long begunNanos = System.nanoTime();
        A answer = execute.apply(call);
        return new Operation<>(thread, call, answer, begunNanos, System.nanoTime());
    }

    /** For a test of the search itself. */
    static <C, A> History<C, A> ofOperations(List<Operation<C, A>> operations) {
        return new History<>(operations);
    }

    public int size() {
        return operations.size();
    }

    /** How many pairs of operations ran at the same time: without any nothing was tried. */
    public int overlaps() {
        int overlaps = 0;
        for (int one = 0; one < operations.size(); one++) {
            for (int other = one + 1; other < operations.size(); other++) {
                if (!operations.get(one).isBefore(operations.get(other))
                        && !operations.get(other).isBefore(operations.get(one))) {
                    overlaps++;
                }
            }
        }
        return overlaps;
    }

    /** Nothing if some order explains it; else what could not be explained, one line for each operation. */
    public <S> Optional<String> contradictionTo(Model<S, C, A> model) {
        Search<S> search = new Search<>(model);
        if (search.canBeFinished(0, model.initial())) {
            return Optional.empty();
        }
        return Optional.of("at most " + Long.bitCount(search.furthest) + " of " + operations.size()
                + " operations can be explained, those with a star:\n" + describe(search.furthest));
    }

    private String describe(long explained) {
        long first = operations.getFirst().begunNanos();
        List<String> lines = new ArrayList<>();
        for (int each = 0; each < operations.size(); each++) {
            Operation<C, A> operation = operations.get(each);
            lines.add(String.format(
                    "%s thread %d, %,d to %,d us: %s -> %s",
                    (explained & 1L << each) != 0 ? "*" : " ",
                    operation.thread(),
                    (operation.begunNanos() - first) / 1_000,
                    (operation.endedNanos() - first) / 1_000,
                    operation.call(),
                    operation.answer()));
        }
        return lines.stream().collect(Collectors.joining("\n"));
    }

    private final class Search<S> {
        private final Model<S, C, A> model;
        private final Set<Seen<S>> seen = new HashSet<>();
        private long furthest;

        Search(Model<S, C, A> model) {
            this.model = model;
        }

        /** @param done a bit for each operation that has its place in the order */
        boolean canBeFinished(long done, S state) {
            if (Long.bitCount(done) > Long.bitCount(furthest)) {
                furthest = done;
            }
            if (Long.bitCount(done) == operations.size()) {
                return true;
            }
            if (!seen.add(new Seen<>(done, state))) {
                return false;
            }
            for (int each = 0; each < operations.size(); each++) {
                if (mayBeNext(done, each)) {
                    Operation<C, A> operation = operations.get(each);
                    Optional<S> after = model.after(state, operation.call(), operation.answer());
                    if (after.isPresent() && canBeFinished(done | 1L << each, after.get())) {
                        return true;
                    }
                }
            }
            return false;
        }

        private boolean mayBeNext(long done, int candidate) {
            if ((done & 1L << candidate) != 0) {
                return false;
            }
            for (int each = 0; each < operations.size(); each++) {
                if ((done & 1L << each) == 0 && operations.get(each).isBefore(operations.get(candidate))) {
                    return false;
                }
            }
            return true;
        }
    }

    private record Seen<S>(long done, S state) {}
}
