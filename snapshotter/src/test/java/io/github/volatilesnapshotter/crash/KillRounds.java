package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.crash.Invariants.DiskState;
import io.github.volatilesnapshotter.crash.Ledger.Crash;
import io.github.volatilesnapshotter.crash.Violation.Kind;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.util.EnumSet;
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

    /** How long it goes on after the disk has begun to fail... */
    private static final int ERROR_MILLIS = 1_500;

    /** ...or where the disk is to heal again before the daemon dies... */
    private static final int ERROR_TO_HEAL_MILLIS = 700;

    /** ...and from then on: the records are written anew after a second or three. */
    private static final int HEALED_MILLIS = 5_000;

    /** How long a daemon that serves is given to come to what it does beside the first requests. */
    private static final int AFTER_START_MILLIS = 500;

    private static final int MOST_PASSAGES = 6;

    /** Carries the log of the records over some times in a round, instead of once in some hundred. */
    private static final String SMALL_LOG = "-Dvolatilesnapshotter.checkpoint=" + (64 << 10);

    /** Points of a daemon that serves, and... */
    static final String OF_LOADS = "load";

    /** ...of one that starts, as {@link Tally} tells them apart. */
    static final String OF_STARTS = "start";

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

    /** Of these, those that need an overlay that is not mounted any more. */
    private static final Set<CrashPoint> OF_A_REMOUNT = EnumSet.of(
            CrashPoint.WORK_RENEWED, CrashPoint.OVERLAY_MOUNTED, CrashPoint.THROWN_AWAY, CrashPoint.TRASH_DELETED);

    /** Those that need a sentinel that does not stand any more. */
    private static final Set<CrashPoint> OF_A_NEW_SENTINEL = EnumSet.of(
            CrashPoint.WRITTEN,
            CrashPoint.SENTINEL_DETACHED,
            CrashPoint.SENTINEL_DIRECTORIES_MADE,
            CrashPoint.SENTINEL_MOUNTED);

    /** Points that are passed when a disk fails. */
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

    /** Of these, those that need records that could not be written, and a disk that takes them again. */
    private static final Set<CrashPoint> OF_A_REBUILD =
            EnumSet.of(CrashPoint.NEXT_DATABASE_FINISHED, CrashPoint.OLD_LOG_REMOVED, CrashPoint.DATABASE_REPLACED);

    /** Those that are passed while the disk fails; the others when it stores data again. */
    private static final Set<CrashPoint> OF_A_FAILING_DISK =
            EnumSet.of(CrashPoint.POISON_KNOWN, CrashPoint.POISON_RECORDED);

    private static final Set<CrashPoint> OF_A_LOAD = ofALoad();

    private final Peer peer;
    private final Disk disk;
    private final Load.Settings load;
    private final boolean hasSmallLog;
    private final long seed;
    private final Random random;
    private final Tally tally;
    private final Turns ofLoads;
    private final Turns ofStarts;
    private final Ledger ledger = new Ledger();
    private int round;
    private boolean isFailing;
    private boolean isLossAccepted;
    private boolean isRemounted;

    /**
     * On a root of its own.
     *
     * @param disk on which the root lies; it fails in each round if the load says that it may
     * @param hasSmallLog whether the log of the records is carried over often
     * @param tally where everything is counted
     */
    KillRounds(Peer peer, Disk disk, Load.Settings load, boolean hasSmallLog, long seed, Tally tally) {
        this.peer = peer;
        this.disk = disk;
        this.load = load;
        this.hasSmallLog = hasSmallLog;
        this.seed = seed;
        this.random = new Random(seed);
        this.tally = tally;
        this.ofLoads = tally.turns(OF_LOADS, () -> new Turns(load.mayFail() ? OF_AN_ERROR : OF_A_LOAD, seed));
        this.ofStarts = tally.turns(OF_STARTS, () -> new Turns(OF_A_START, seed));
    }

    private static Set<CrashPoint> ofALoad() {
        Set<CrashPoint> points = EnumSet.complementOf(EnumSet.copyOf(OF_AN_ERROR));
        points.removeIf(point -> point.word().startsWith("start-"));
        points.removeAll(EnumSet.of(CrashPoint.WORK_RENEWED, CrashPoint.ORPHAN_DETACHED, CrashPoint.IDS_RESERVED));
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
            peer.start(options());
        }
        loadAndKill();
        Map<Long, Tree> uppers = load.mayFail() ? Map.of() : Invariants.uppers(peer, ledger.known());
        Invariants.directories(peer).forEach(ledger::sawId);
        Meddling meddling = Meddling.NONE;
        if (peer.isOurs() && random.nextInt(4) == 0) {
            CrashPoint point = ofStarts.next(_ -> true);
            meddling = load.mayFail() ? Meddling.NONE : meddle(point);
            dieAtStart(point);
        } else if (peer.isOurs() && !load.mayFail() && random.nextInt(4) == 0) {
            meddling = meddle();
        }
        startAgain();
        if (load.mayFail()) {
            // What a disk has lost can be read until the page is needed for something else.
            disk.dropCaches();
        }
        check(uppers, meddling);
    }

    private String[] options() {
        return hasSmallLog ? new String[] {SMALL_LOG} : new String[0];
    }

    /** Without which a start would not come to the point. */
    private Meddling meddle(CrashPoint point) throws IOException {
        if (OF_A_REMOUNT.contains(point)) {
            return Meddling.unmountSome(peer, random);
        }
        if (OF_A_NEW_SENTINEL.contains(point)) {
            return Meddling.unmountSomeAndTheSentinel(peer, random);
        }
        return point == CrashPoint.ORPHAN_DETACHED ? Meddling.cover(peer, random) : meddle();
    }

    private Meddling meddle() throws IOException {
        return switch (random.nextInt(4)) {
            case 0 -> Meddling.unmountSome(peer, random);
            case 1 -> Meddling.unmountSomeAndTheSentinel(peer, random);
            case 2 -> Meddling.cover(peer, random);
            default -> Meddling.NONE;
        };
    }

    private void loadAndKill() throws IOException, InterruptedException {
        boolean isAtPoint = peer.isOurs()
                && (random.nextInt(5) < 3
                        || (load.mayFail() && !ofLoads.neverReached().isEmpty()));
        CrashPoint point = ofLoads.next(this::isPossible);
        int passage = load.mayFail() ? 1 + random.nextInt(2) : 1 + random.nextInt(MOST_PASSAGES);
        int millis = random.nextInt(SHORTEST_MILLIS, LONGEST_MILLIS);
        if (isAtPoint) {
            peer.arm(point, ofLoads.isRetried(point) ? 1 : passage);
        }
        try (Load running = new Load(peer, ledger, load, seed * 1_000 + round)) {
            running.start();
            boolean hasEnded = running.awaitEnd(isAtPoint && !load.mayFail() ? POINT_MILLIS : millis);
            if (load.mayFail() && !hasEnded) {
                hasEnded = fail(running, isAtPoint && !OF_A_FAILING_DISK.contains(point));
            }
            peer.kill();
            running.stop();
            peer.disarm();
            if (isFailing) {
                if (random.nextBoolean()) {
                    startWhileItFails();
                }
                heal();
            }
            if (isAtPoint) {
                tally.point(OF_LOADS, point, hasEnded);
            }
            tally.answers(running.calls());
            running.complaints().forEach(complaint -> tally.violated(new Violation(Kind.REFUSED, complaint)));
        } finally {
            peer.disarm();
        }
    }

    /** And dies again. A disk that loses the file system's own blocks may have made it read-only, or have lost records. */
    private void startWhileItFails() throws IOException {
        peer.launch(options());
        boolean isServing = peer.awaitServing();
        peer.kill();
        tally.startedWhileItFailed(isServing);
        if (!isServing && disk instanceof FuseDisk) {
            tally.violated(new Violation(Kind.NO_START, "while data can't be stored: " + peer.logTail()));
        }
    }

    /** Whether the load has ended, because the daemon has died. */
    private boolean fail(Load running, boolean healsAgain) throws IOException, InterruptedException {
        disk.startFailing();
        isFailing = true;
        if (!healsAgain) {
            return running.awaitEnd(ERROR_MILLIS);
        }
        if (running.awaitEnd(ERROR_TO_HEAL_MILLIS)) {
            return true;
        }
        heal();
        return running.awaitEnd(HEALED_MILLIS);
    }

    private void heal() throws IOException {
        disk.heal();
        isFailing = false;
    }

    /** The records can be written on the one disk while the data can't; on the other it is time for what only that one comes to. */
    private boolean isPossible(CrashPoint point) {
        if (load.mayFail()) {
            boolean isOfARebuild = OF_A_REBUILD.contains(point);
            boolean losesRecords = disk instanceof FaultyDisk;
            boolean isOneMissing = ofLoads.neverReached().stream().anyMatch(OF_A_REBUILD::contains);
            return losesRecords ? isOfARebuild || !isOneMissing : !isOfARebuild;
        }
        return hasSmallLog || point != CrashPoint.LOG_CARRIED_OVER;
    }

    /** What a start leaves that does not come to its end is found by the next. */
    private void dieAtStart(CrashPoint point) throws IOException {
        peer.arm(point, ofStarts.isRetried(point) ? 1 : 1 + random.nextInt(3));
        try {
            peer.launch(options());
            boolean hasEnded = !peer.awaitServing() || peer.awaitEnd(AFTER_START_MILLIS);
            tally.point(OF_STARTS, point, hasEnded);
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
                peer.start(options());
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
                    Traces.unmountAllOf(peer);
                    disk.remount();
                } else {
                    throw e;
                }
            }
        }
    }

    private void check(Map<Long, Tree> uppers, Meddling meddling) throws IOException {
        try (Client client = peer.connect()) {
            // Ordered operations reach a disk sooner or later: one that fails may lose some, and says so unless it was
            // mounted anew.
            Ledger.Expected expected = isLossAccepted || isRemounted
                    ? ledger.expected(Crash.POWER_CUT, ledger.now(), ledger.now())
                    : ledger.expectedAfterKill();
            Invariants.Report report =
                    new Invariants(peer, client, expected, Crash.KILL, diskState(), uppers, meddling).check();
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

    private DiskState diskState() {
        if (isRemounted) {
            return DiskState.MOUNTED_ANEW;
        }
        return load.mayFail() ? DiskState.HAS_FAILED : DiskState.WORKS;
    }

    /** Ends the snapshotter and takes away what it leaves mounted. */
    @Override
    public void close() throws IOException {
        try {
            peer.stop();
        } finally {
            peer.kill();
            Traces.unmountAllOf(peer);
        }
    }
}
