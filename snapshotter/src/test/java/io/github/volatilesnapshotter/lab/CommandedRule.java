package io.github.volatilesnapshotter.lab;

import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** Fails, delays and hangs requests as it was told to last. */
final class CommandedRule implements RequestRule {
    /** Writes in the wide sense: a flush is where a write reaches the medium. */
    static final Set<Kind> WRITES = Set.copyOf(EnumSet.of(Kind.WRITE, Kind.FLUSH));

    static final Set<Kind> ALL = Set.copyOf(EnumSet.allOf(Kind.class));

    // Whoever waits for a disk can't be killed: a test that waits for the disk that it should heal would never end.
    private static final Duration LONGEST_HANG = Duration.ofSeconds(100);

    private static final ByteBuffer MARKER = ByteBuffer.wrap(Disk.dataMarker());

    private final Map<Kind, Blocks> failing = new EnumMap<>(Kind.class);
    private final Map<Kind, Duration> delays = new EnumMap<>(Kind.class);
    private final Set<Kind> hanging = EnumSet.noneOf(Kind.class);
    private long hangStart;

    synchronized void fail(Set<Kind> kinds, Blocks blocks) {
        kinds.forEach(kind -> failing.put(kind, blocks));
    }

    synchronized void delay(Set<Kind> kinds, Duration delay) {
        kinds.forEach(kind -> delays.put(kind, delay));
        notifyAll();
    }

    synchronized void hang(Set<Kind> kinds) {
        hanging.addAll(kinds);
        hangStart = System.nanoTime();
    }

    /** Ends all of it; what hangs or is delayed goes on at once. */
    synchronized void heal() {
        failing.clear();
        delays.clear();
        hanging.clear();
        notifyAll();
    }

    @Override
    public synchronized boolean fails(Kind kind, ByteBuffer content) throws InterruptedException {
        awaitTurn(kind);
        Blocks blocks = failing.get(kind);
        return blocks != null && isAmong(blocks, kind, content);
    }

    private void awaitTurn(Kind kind) throws InterruptedException {
        long arrival = System.nanoTime();
        while (true) {
            long left = hanging.contains(kind)
                    ? LONGEST_HANG.toNanos() - (System.nanoTime() - hangStart)
                    : delays.getOrDefault(kind, Duration.ZERO).toNanos() - (System.nanoTime() - arrival);
            if (left <= 0) {
                return;
            }
            TimeUnit.NANOSECONDS.timedWait(this, left);
        }
    }

    private static boolean isAmong(Blocks blocks, Kind kind, ByteBuffer content) {
        return switch (blocks) {
            case ALL -> true;
            case DATA -> kind != Kind.FLUSH && hasData(content);
            case METADATA -> kind != Kind.FLUSH && !hasData(content);
        };
    }

    /** A request consists of blocks of one kind: file systems make no others, and the loop device merges none. */
    private static boolean hasData(ByteBuffer content) {
        for (int sector = content.position(); sector < content.limit(); sector += Disk.SECTOR_BYTES) {
            int length = Math.min(MARKER.capacity(), content.limit() - sector);
            if (content.slice(sector, length).equals(MARKER)) {
                return true;
            }
        }
        return false;
    }
}
