package io.github.volatilesnapshotter.cli;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.LongFunction;

/**
 * Lines on their way to a stream, which a thread of its own writes: whoever has something to log waits for nobody, and not for a reader
 * that has stopped reading, say a journal on the disk that hangs. What the bound of the queue has no room for is dropped and counted, and a
 * line says so in its place. Lines are written whole and in the order in which they came, those that wait together by one write.
 *
 * <p>A line waits {@value #GATHER_MILLIS} ms for others, so that what is logged of an event takes no processor time from what is done about it
 * just then. Any thread. Lines that wait are lost with a process that is killed.
 */
final class LineQueue {
    /** PIPE_BUF: a pipe takes them together, whoever else writes there. */
    private static final int MOST_BYTES_OF_A_WRITE = 4096;

    /**
     * Not a low priority instead: a thread that starts a garbage collection keeps the heap locked until it has run once more, and all
     * others would wait for one that others go ahead of.
     */
    private static final long GATHER_MILLIS = 10;

    private final OutputStream out;
    private final long mostBytes;
    private final LongFunction<String> droppedLine;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    /** The lines that have come together should not wait for more. */
    private final Condition isUrgent = lock.newCondition();

    /** Guarded by {@link #lock}, as what follows. */
    private final Deque<byte[]> waiting = new ArrayDeque<>();

    private long waitingBytes;
    private boolean isWriting;
    private int flushing;
    private long droppedSinceSaid;
    private long dropped;

    /**
     * Nothing is written before {@link #start}.
     *
     * @param mostBytes of the lines that wait
     * @param droppedLine what is written where so many lines were dropped
     */
    LineQueue(OutputStream out, long mostBytes, LongFunction<String> droppedLine) {
        this.out = out;
        this.mostBytes = mostBytes;
        this.droppedLine = droppedLine;
    }

    void start(String name) {
        Thread.ofPlatform().name(name).daemon().start(this::write);
    }

    /** Returns at once. */
    void add(String line) {
        byte[] bytes = line.getBytes(StandardCharsets.UTF_8);
        lock.lock();
        try {
            if (waitingBytes + bytes.length > mostBytes) {
                dropped++;
                droppedSinceSaid++;
                return;
            }
            if (droppedSinceSaid > 0) {
                enqueue(droppedLine.apply(droppedSinceSaid).getBytes(StandardCharsets.UTF_8));
                droppedSinceSaid = 0;
            }
            enqueue(bytes);
        } finally {
            lock.unlock();
        }
    }

    private void enqueue(byte[] bytes) {
        waiting.addLast(bytes);
        waitingBytes += bytes.length;
        changed.signalAll();
        if (isHalfFull()) {
            isUrgent.signalAll();
        }
    }

    private boolean isHalfFull() {
        return waitingBytes > mostBytes / 2;
    }

    /** Waits until all lines so far are written, and no longer than the time. */
    boolean flush(long timeoutMillis) {
        long leftNanos = TimeUnit.MILLISECONDS.toNanos(timeoutMillis);
        lock.lock();
        try {
            flushing++;
            isUrgent.signalAll();
            while ((isWriting || !waiting.isEmpty()) && leftNanos > 0) {
                leftNanos = changed.awaitNanos(leftNanos);
            }
            return !isWriting && waiting.isEmpty();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        } finally {
            flushing--;
            lock.unlock();
        }
    }

    int waiting() {
        lock.lock();
        try {
            return waiting.size();
        } finally {
            lock.unlock();
        }
    }

    /** Lines that were dropped so far. */
    long dropped() {
        lock.lock();
        try {
            return dropped;
        } finally {
            lock.unlock();
        }
    }

    private void write() {
        try {
            while (true) {
                gather();
                List<byte[]> lines = take();
                while (!lines.isEmpty()) {
                    write(lines);
                    lines = take();
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Returns some time after the first line has come, or when it is urgent. */
    private void gather() throws InterruptedException {
        lock.lock();
        try {
            while (waiting.isEmpty()) {
                changed.await();
            }
            long leftNanos = TimeUnit.MILLISECONDS.toNanos(GATHER_MILLIS);
            while (leftNanos > 0 && flushing == 0 && !isHalfFull()) {
                leftNanos = isUrgent.awaitNanos(leftNanos);
            }
        } finally {
            lock.unlock();
        }
    }

    /** What is written at once; empty if nothing waits. */
    private List<byte[]> take() {
        lock.lock();
        try {
            List<byte[]> taken = new ArrayList<>();
            int bytes = 0;
            while (!waiting.isEmpty()
                    && (taken.isEmpty() || bytes + waiting.getFirst().length <= MOST_BYTES_OF_A_WRITE)) {
                byte[] line = waiting.removeFirst();
                bytes += line.length;
                taken.add(line);
            }
            isWriting = !taken.isEmpty();
            return taken;
        } finally {
            lock.unlock();
        }
    }

    private void write(List<byte[]> lines) {
        byte[] together = joined(lines);
        try {
            out.write(together);
        } catch (IOException e) {
            // Nobody reads, and there is nowhere to say so.
            countLost(lines.size());
        }
        written(together.length);
    }

    private static byte[] joined(List<byte[]> lines) {
        ByteArrayOutputStream together = new ByteArrayOutputStream();
        lines.forEach(together::writeBytes);
        return together.toByteArray();
    }

    private void countLost(int lines) {
        lock.lock();
        try {
            dropped += lines;
        } finally {
            lock.unlock();
        }
    }

    private void written(int bytes) {
        lock.lock();
        try {
            isWriting = false;
            waitingBytes -= bytes;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
