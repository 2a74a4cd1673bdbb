package io.github.volatilesnapshotter.metadata;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Which of the threads that have something to write durably does it. One of them leads: it takes what all of them have, and brings it to
 * disk by one flush. Those that come while that goes on wait; then the first of them leads, and takes the others along.
 *
 * <p>Any thread. The lock is held for a few instructions.
 */
final class DurableTurns {
    /** Of one flush: bounds what a failure takes with it, and how long the first waits for the work of the others. */
    static final int MOST_TOGETHER = 64;

    private final ReentrantLock lock = new ReentrantLock();
    /** In the order in which they came; the one that leads is the first until it takes. */
    private final Deque<Place> waiting = new ArrayDeque<>();
    /** By the one that leads. */
    private final List<Place> taken = new ArrayList<>();

    private boolean isLed;

    private enum State {
        WAITS,
        LEADS,
        TAKEN,
        OVER
    }

    /** Of one thread. Changed with the lock only. */
    final class Place {
        private final DurableWrite<?, ?> write;
        private final Condition changed = lock.newCondition();
        private State state = State.WAITS;

        private Place(DurableWrite<?, ?> write) {
            this.write = write;
        }

        private void become(State next) {
            state = next;
            changed.signal();
        }
    }

    /** How many wait for a turn, the one that leads not among them. */
    int waiting() {
        lock.lock();
        try {
            return Math.toIntExact(
                    waiting.stream().filter(place -> place.state == State.WAITS).count());
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits until the write is over, or until its thread leads. What somebody has taken depends on the disk, and is waited for without a
     * bound.
     *
     * @return a place that leads, to be ended by {@link #end}; null if another thread has written it
     * @throws TimeoutException if nobody has taken it by then; nobody will
     * @throws InterruptedException if the thread was interrupted before somebody took it; nobody will
     */
    @Nullable Place await(DurableWrite<?, ?> write, long waitMillis) throws TimeoutException, InterruptedException {
        lock.lock();
        try {
            Place place = new Place(write);
            waiting.addLast(place);
            if (!isLed) {
                isLed = true;
                place.state = State.LEADS;
            }
            awaitTaken(place, TimeUnit.MILLISECONDS.toNanos(waitMillis));
            while (place.state == State.TAKEN) {
                place.changed.awaitUninterruptibly();
            }
            return place.state == State.LEADS ? place : null;
        } finally {
            lock.unlock();
        }
    }

    private void awaitTaken(Place place, long waitNanos) throws TimeoutException, InterruptedException {
        long leftNanos = waitNanos;
        while (place.state == State.WAITS) {
            if (leftNanos <= 0) {
                waiting.remove(place);
                throw new TimeoutException();
            }
            try {
                leftNanos = place.changed.awaitNanos(leftNanos);
            } catch (InterruptedException e) {
                if (place.state == State.WAITS) {
                    waiting.remove(place);
                    throw e;
                }
                Thread.currentThread().interrupt();
            }
        }
    }

    /** By the one that leads, once: what is to be written now, its own first. */
    List<DurableWrite<?, ?>> take() {
        lock.lock();
        try {
            while (taken.size() < MOST_TOGETHER && !waiting.isEmpty()) {
                Place place = waiting.removeFirst();
                if (place.state == State.WAITS) {
                    place.become(State.TAKEN);
                }
                taken.add(place);
            }
            return taken.stream().<DurableWrite<?, ?>>map(place -> place.write).toList();
        } finally {
            lock.unlock();
        }
    }

    /** What was taken is over, and the next one leads. */
    void end(Place leader) {
        lock.lock();
        try {
            waiting.remove(leader); // is there still if it could not write
            taken.forEach(place -> place.become(State.OVER));
            taken.clear();
            Place next = waiting.peekFirst();
            isLed = next != null;
            if (next != null) {
                next.become(State.LEADS);
            }
        } finally {
            lock.unlock();
        }
    }
}
