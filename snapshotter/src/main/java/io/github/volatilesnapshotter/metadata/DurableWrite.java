package io.github.volatilesnapshotter.metadata;

/**
 * A durable transaction that somebody waits for, and what became of it. The work is run by the thread that writes, which may be another
 * one's; the outcome is for the one that waits.
 */
final class DurableWrite<T, X extends Exception> {
    private final SnapshotStore.Work<T, X> work;
    private final long calledAtNanos = System.nanoTime();
    private Outcome<T, X> outcome = () -> {
        throw new IllegalStateException("it was not written");
    };

    DurableWrite(SnapshotStore.Work<T, X> work) {
        this.work = work;
    }

    long calledAtNanos() {
        return calledAtNanos;
    }

    /** Runs the work; false if it did not come to its end, and nothing of it is to be written. */
    boolean run(ChangeSet transaction) {
        try {
            T answer = work.in(transaction);
            outcome = () -> answer;
            return true;
        } catch (Exception | Error e) {
            // Whatever it is, it belongs to the one that waits, and not to the one that writes.
            fail(e);
            return false;
        }
    }

    /** It is not on disk, whatever its work did. */
    void fail(Throwable failure) {
        outcome = new Failed<>(failure);
    }

    /** For the one that waited, once it is over. */
    T answer() throws X, MetadataException {
        return outcome.get();
    }

    @FunctionalInterface
    private interface Outcome<T, X extends Exception> {
        T get() throws X, MetadataException;
    }

    private record Failed<T, X extends Exception>(Throwable failure) implements Outcome<T, X> {
        @Override
        @SuppressWarnings("unchecked") // the work declares nothing else
        public T get() throws X, MetadataException {
            switch (failure) {
                case MetadataException e -> throw e;
                case RuntimeException e -> throw e;
                case Error e -> throw e;
                default -> throw (X) failure;
            }
        }
    }
}
