package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.crash.Ledger.Crash;
import io.github.volatilesnapshotter.crash.Violation.Kind;
import io.github.volatilesnapshotter.lab.Disk;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/**
 * Loads a snapshotter, kills it at a random moment or lets it die at a named point, starts it again on the same root, checks every
 * invariant, and so on. One root is used for many rounds, so that what a round leaves behind troubles the later ones.
 */
final class KillRounds implements AutoCloseable {
    private static final int SHORTEST_MILLIS = 20;
    private static final int LONGEST_MILLIS = 350;

    /** How long the load goes on if the point is not reached. */
    private static final int POINT_MILLIS = 600;

    /** How long it goes on after the disk has begun to fail. */
    private static final int ERROR_MILLIS = 1_500;

    private static final int MOST_PASSAGES = 6;

    /** What a start says that finds records missing. */
    private static final String LOSS = "acknowledged transactions are missing";

    /** Points that only a start passes. */
    private static final Set<CrashPoint> OF_A_START = EnumSet.of(
            CrashPoint.START_OPENED,
            CrashPoint.START_ADOPTED,
            CrashPoint.START_JUDGED,
            CrashPoint.START_POISONED,
            CrashPoint.WORK_RENEWED,
            CrashPoint.ORPHAN_DETACHED,
            CrashPoint.THROWN_AWAY,
            CrashPoint.TRASH_DELETED,
            CrashPoint.IDS_RESERVED,
            CrashPoint.SENTINEL_DETACHED,
            CrashPoint.SENTINEL_DIRECTORIES_MADE,
            CrashPoint.SENTINEL_MOUNTED,
            CrashPoint.OVERLAY_MOUNTED,
            CrashPoint.WRITTEN);

    /** Points that are passed when a disk fails, or never by a load of a second. */
    private static final Set<CrashPoint> OF_AN_ERROR = EnumSet.of(
            CrashPoint.POISON_KNOWN,
            CrashPoint.POISON_RECORDED,
            CrashPoint.ERROR_SEEN,
            CrashPoint.SENTINEL_DETACHED,
            CrashPoint.SENTINEL_DIRECTORIES_MADE,
            CrashPoint.SENTINEL_MOUNTED,
            CrashPoint.NEXT_DATABASE_FINISHED,
            CrashPoint.OLD_LOG_REMOVED,
            CrashPoint.DATABASE_REPLACED);

    private static final Set<CrashPoint> OF_A_LOAD = ofALoad();

    private final Peer peer;
    private final Disk disk;
    private final Load.Settings load;
    private final long seed;
    private final Random random;
    private final Tally tally;
    private final Ledger ledger = new Ledger();
    private int round;
    private boolean isLossAccepted;
    private boolean isRemounted;

    /**
     * On a root of its own.
     *
     * @param disk on which the root lies; it fails in each round if the load says that it may
     * @param tally where everything is counted
     */
    KillRounds(Peer peer, Disk disk, Load.Settings load, long seed, Tally tally) {
        this.peer = peer;
        this.disk = disk;
        this.load = load;
        this.seed = seed;
        this.random = new Random(seed);
        this.tally = tally;
    }

    private static Set<CrashPoint> ofALoad() {
        Set<CrashPoint> points = EnumSet.complementOf(EnumSet.copyOf(OF_AN_ERROR));
        points.removeIf(point -> point.word().startsWith("start-"));
        points.removeAll(EnumSet.of(
                CrashPoint.WORK_RENEWED,
                CrashPoint.ORPHAN_DETACHED,
                CrashPoint.IDS_RESERVED,
                CrashPoint.LOG_CARRIED_OVER));
        return points;
    }

    /** Runs some more rounds. */
    void run(int rounds) throws IOException, InterruptedException {
        for (int i = 0; i < rounds; i++) {
            round++;
            tally.beginRound("seed " + seed + " round " + round);
            run();
        }
    }

    private void run() throws IOException, InterruptedException {
        if (!peer.isAlive()) {
            peer.start();
        }
        loadAndKill();
        Map<Long, Tree> uppers = load.mayFail() ? Map.of() : Invariants.uppers(peer, ledger.known());
        Invariants.directories(peer).forEach(ledger::sawId);
        if (peer.isOurs() && random.nextInt(4) == 0) {
            dieAtStart();
        }
        startAgain();
        if (load.mayFail()) {
            // What a disk has lost can be read until the page is needed for something else.
            disk.dropCaches();
        }
        check(uppers);
    }

    private void loadAndKill() throws IOException, InterruptedException {
        boolean isAtPoint = peer.isOurs() && random.nextInt(5) < 3;
        CrashPoint point = next(load.mayFail() ? OF_AN_ERROR : OF_A_LOAD);
        int passage = load.mayFail() ? 1 + random.nextInt(2) : 1 + random.nextInt(MOST_PASSAGES);
        int millis = random.nextInt(SHORTEST_MILLIS, LONGEST_MILLIS);
        if (isAtPoint) {
            peer.arm(point, passage);
        }
        try (Load running = new Load(peer, ledger, load, seed * 1_000 + round)) {
            running.start();
            boolean hasEnded = running.awaitEnd(isAtPoint && !load.mayFail() ? POINT_MILLIS : millis);
            if (load.mayFail() && !hasEnded) {
                disk.startFailing();
                hasEnded = running.awaitEnd(ERROR_MILLIS);
            }
            peer.kill();
            running.stop();
            if (load.mayFail()) {
                disk.heal();
            }
            if (isAtPoint) {
                tally.point(point, hasEnded);
            }
            tally.answers(running.calls());
            running.complaints().forEach(complaint -> tally.violated(new Violation(Kind.REFUSED, complaint)));
        } finally {
            peer.disarm();
        }
    }

    /** What a start leaves that does not come to its end is found by the next. */
    private void dieAtStart() throws IOException {
        CrashPoint point = next(OF_A_START);
        peer.arm(point, 1 + random.nextInt(3));
        try {
            peer.launch();
            tally.point(point, !peer.awaitServing());
            peer.kill();
        } finally {
            peer.disarm();
        }
    }

    /**
     * A disk that has failed may have turned its file system read-only: then it is mounted anew, as an operator would do it, and what was not
     * on disk is lost as in a power cut. What records it has lost before that is refused until the operator accepts it.
     */
    private void startAgain() throws IOException {
        isLossAccepted = false;
        isRemounted = false;
        while (true) {
            try {
                peer.start();
                return;
            } catch (IOException e) {
                if (!load.mayFail() || (isLossAccepted && isRemounted)) {
                    tally.violated(new Violation(Kind.NO_START, e.getMessage()));
                    throw e;
                }
                if (!isLossAccepted && peer.loggedSinceLaunch().contains(LOSS)) {
                    isLossAccepted = true;
                    tally.lossRefused();
                    Files.delete(peer.transactionNote());
                } else if (!isRemounted) {
                    // Expected of a disk that takes nothing new: an ext4 whose directories can't be written back gives
                    // up.
                    isRemounted = true;
                    tally.remounted();
                    Traces.unmountBelow(peer.root());
                    Traces.unmountBelow(peer.state());
                    disk.remount();
                } else {
                    throw e;
                }
            }
        }
    }

    private void check(Map<Long, Tree> uppers) throws IOException {
        try (Client client = peer.connect()) {
            // Ordered operations reach a disk sooner or later: one that fails may lose some, and says so unless it was
            // mounted anew.
            Ledger.Expected expected = isLossAccepted || isRemounted
                    ? ledger.expected(Crash.POWER_CUT, ledger.now(), ledger.now())
                    : ledger.expectedAfterKill();
            Invariants.Report report =
                    new Invariants(peer, client, expected, Crash.KILL, load.mayFail(), uppers).check();
            tally.found(report);
            for (String key : ledger.poisoned()) {
                Entry entry = report.found().get(key);
                if (entry != null && !report.poisoned().containsKey(key)) {
                    tally.violated(new Violation(Kind.NOT_POISONED, key + " was poisoned before the kill"));
                }
            }
            ledger.settle(report.found());
            new Survivors(client, ledger, random).use(peer, report.poisoned()).forEach(tally::violated);
        } catch (StatusRuntimeException e) {
            tally.violated(new Violation(Kind.UNUSABLE, "a check was answered " + e.getStatus()));
        }
    }

    /** One after the other, so that a series comes to all of them; each run begins somewhere else. */
    private CrashPoint next(Set<CrashPoint> points) {
        return List.copyOf(points).get(Math.floorMod(seed + tally.nextPoint(), points.size()));
    }

    /** Ends the snapshotter and takes away what it leaves mounted. */
    @Override
    public void close() throws IOException {
        try {
            peer.stop();
        } finally {
            peer.kill();
            Traces.unmountBelow(peer.root());
            Traces.unmountBelow(peer.state());
        }
    }
}
