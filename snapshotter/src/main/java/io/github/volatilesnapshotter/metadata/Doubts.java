package io.github.volatilesnapshotter.metadata;

import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** Doubts whether the disk has kept what was written: counted as they are raised, and settled in this order. Any thread. */
final class Doubts {
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition isSettled = lock.newCondition();
    private long raised;
    private long settled;

    void raise() {
        lock.lock();
        try {
            raised++;
        } finally {
            lock.unlock();
        }
    }

    /** How many were raised so far. */
    long raised() {
        lock.lock();
        try {
            return raised;
        } finally {
            lock.unlock();
        }
    }

    boolean areOpen() {
        lock.lock();
        try {
            return settled < raised;
        } finally {
            lock.unlock();
        }
    }

    /** The first {@code count} that were raised are settled, one way or the other. */
    void settle(long count) {
        lock.lock();
        try {
            settled = Math.max(settled, count);
            isSettled.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Waits until those that are raised now are settled, at most this long. */
    void awaitSettled(long waitMillis) throws InterruptedException {
        long leftNanos = TimeUnit.MILLISECONDS.toNanos(waitMillis);
        lock.lockInterruptibly();
        try {
            long awaited = raised;
            while (settled < awaited && leftNanos > 0) {
                leftNanos = isSettled.awaitNanos(leftNanos);
            }
        } finally {
            lock.unlock();
        }
    }
}
