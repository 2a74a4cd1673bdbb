package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.Upper;
import io.github.volatilesnapshotter.snapshot.RecoveryReport.Outcome;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock.Past;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;

/**
 * What a start does with what an earlier daemon, a crash, an operator or a restored backup left. Two steps, both before a new sentinel can
 * stand: {@link #adopt} takes over what is mounted, so that an error found by the sentinel is asked of it; {@link #judge} decides
 * about the rest. Doing it twice changes nothing, and one that is killed is done again. One snapshot that can't be judged never stops it.
 * docs/architecture.md has the table of what is found and what becomes of it.
 *
 * <p>The time depends on the number of snapshots by little: directories are listed once, the kernel's mounts read once, and no layer is
 * looked into (see {@link LayerCheck}).
 */
final class Recovery {
    /** Mounting waits for the filesystem's log, and uses one processor each. */
    private static final int MOUNTING_THREADS = 4;

    private static final String UPPER_OPTION = "upperdir=";

    /** Ids are given one by one: a number above this was never one. */
    private static final long MOST_ID = 1L << 60;

    private final Layout layout;
    private final SnapshotStore store;
    private final Uppers uppers;
    private final Poisoner poisoner;
    private final PoisonReports poisonReports;
    private final Trash trash;
    private final SnapshotMounts mounts;
    private final LostLayers lostLayers;
    private final Machine machine;
    private final Remains remains;
    private final RecoveryReport report = new RecoveryReport();

    private final List<Poisoner.Verdict> verdicts = new ArrayList<>();

    /** Whether there is one among them to which another start might not come by itself. */
    private boolean mustBeRecorded;

    /** Their overlay stands in its place, and could not be taken over at once. */
    private final Set<Long> standing = new HashSet<>();

    Recovery(
            Layout layout,
            SnapshotStore store,
            Uppers uppers,
            Poisoner poisoner,
            PoisonReports poisonReports,
            Trash trash,
            LostLayers lostLayers,
            Machine machine,
            Remains remains) {
        this.layout = layout;
        this.store = store;
        this.uppers = uppers;
        this.poisoner = poisoner;
        this.poisonReports = poisonReports;
        this.trash = trash;
        this.mounts = new SnapshotMounts(layout);
        this.lostLayers = lostLayers;
        this.machine = machine;
        this.remains = remains;
    }

    /** What was found and done so far. */
    RecoveryReport report() {
        return report;
    }

    /** Takes over the overlays that are still mounted and really ours, and detaches every other mount in our directories. */
    void adopt() {
        Map<Long, List<MountInfo>> atMerged = new LinkedHashMap<>();
        // Those that hide others first.
        for (MountInfo mount : remains.mounts().reversed()) {
            Path mountPoint = Path.of(mount.mountPoint());
            OptionalLong id = idOf(mountPoint);
            if (id.isPresent()
                    && mountPoint.startsWith(layout.merged(id.getAsLong()))
                    && isVolatileActive(id.getAsLong())) {
                // What is mounted further below is the container's own affair.
                if (mountPoint.equals(layout.merged(id.getAsLong()))) {
                    atMerged.computeIfAbsent(id.getAsLong(), _ -> new ArrayList<>())
                            .add(mount);
                }
            } else if (id.isPresent() || isBelow(layout.trash(), mountPoint)) {
                detach(id.orElse(0), mountPoint);
            }
        }
        atMerged.forEach(this::adopt);
    }

    private static boolean isBelow(Path directory, Path path) {
        return path.startsWith(directory) && !path.equals(directory);
    }

    /** @param stack the mounts at its place, uppermost first */
    private void adopt(long id, List<MountInfo> stack) {
        for (MountInfo mount : stack) {
            if (isOverlayOf(id, mount)) {
                if (tryTo("adopt the overlay", id, () -> uppers.adopt(id))) {
                    report.count(Outcome.ADOPTED);
                } else {
                    standing.add(id);
                }
                return;
            }
            detach(id, layout.merged(id));
        }
    }

    private void detach(long id, Path mountPoint) {
        if (tryTo("detach " + mountPoint, id, () -> Mounting.detach(mountPoint))) {
            CrashPoint.ORPHAN_DETACHED.reached();
            report.add(Outcome.DETACHED, id, keyOf(id), mountPoint.toString());
        }
    }

    private boolean isVolatileActive(long id) {
        return store.find(id).filter(this::isVolatileActive).isPresent();
    }

    private boolean isVolatileActive(SnapshotRecord snapshot) {
        Upper upper = snapshot.upper();
        return snapshot.kind() == RecordKind.ACTIVE
                && upper != null
                && upper.role() == Role.VOLATILE
                && upper.bootId().equals(machine.bootId());
    }

    private boolean isOverlayOf(long id, MountInfo mount) {
        return mount.isVolatile()
                && mount.superOptions().stream()
                        // A path over fsconfig's 255 bytes is given, and shown, as a descriptor's.
                        .anyMatch(option -> option.equals(UPPER_OPTION + layout.upper(id))
                                || option.startsWith(UPPER_OPTION + "/proc/self/fd/"));
    }

    /**
     * Decides about everything that is not adopted. What can't be trusted is poisoned, and that is recorded when this returns. What another
     * start would find again by itself may also be recorded later: a full filesystem has no room for it.
     *
     * @return whether all that must be recorded is
     */
    boolean judge(Past past) throws SyscallException {
        Set<Long> directories = directories();
        List<SnapshotRecord> snapshots = store.all();
        findLostLayers(snapshots, directories);
        List<SnapshotRecord> toResume = new ArrayList<>();
        for (SnapshotRecord snapshot : snapshots) {
            switch (snapshot.kind()) {
                case VIEW -> report.count(Outcome.VIEW);
                case COMMITTED -> directories.remove(snapshot.id());
                case ACTIVE -> {
                    boolean hasDirectory = directories.remove(snapshot.id());
                    if (!tryTo("judge", snapshot.id(), () -> judgeActive(snapshot, hasDirectory, toResume))
                            && !isJudged(snapshot.id())) {
                        // Nobody watches it: the next start must not take it for one that somebody has.
                        condemn(snapshot, PoisonReason.UNVERIFIABLE, "it can't be judged");
                    }
                    CrashPoint.START_JUDGED.reached();
                }
            }
        }
        resume(toResume, past);
        boolean isRecorded = poisoner.poisonAndWait(verdicts) || !mustBeRecorded;
        CrashPoint.START_POISONED.reached();
        directories.forEach(this::throwAwayOrphan);
        return isRecorded;
    }

    private boolean isJudged(long id) {
        return uppers.overlay(id).isPresent() || verdicts.stream().anyMatch(verdict -> verdict.id() == id);
    }

    /** Ids are never given again, whatever the records say. */
    private Set<Long> directories() {
        Set<Long> ids = new HashSet<>();
        for (DirectoryTree.Name entry : remains.directories()) {
            OptionalLong id = idOf(entry.name());
            if (id.isEmpty()) {
                report.add(Outcome.LEFT_ALONE, 0, "", layout.snapshots().resolve(entry.name()) + " is no snapshot's");
                continue;
            }
            store.raiseIdsAbove(id.getAsLong());
            if (entry.isDirectory()) {
                ids.add(id.getAsLong());
            } else {
                throwAway(Outcome.THROWN_AWAY, id.getAsLong(), "a file in the place of a directory");
            }
        }
        return ids;
    }

    private void findLostLayers(List<SnapshotRecord> snapshots, Set<Long> directories) {
        for (SnapshotRecord snapshot : snapshots) {
            if (snapshot.kind() != RecordKind.COMMITTED) {
                continue;
            }
            if (directories.contains(snapshot.id())) {
                report.count(Outcome.LAYER);
            } else {
                boolean _ = lostLayers.add(snapshot.id());
                report.add(
                        Outcome.LOST_LAYER,
                        snapshot.id(),
                        snapshot.key(),
                        layout.snapshot(snapshot.id()) + LostLayers.IS_GONE);
            }
        }
    }

    private void judgeActive(SnapshotRecord snapshot, boolean hasDirectory, List<SnapshotRecord> toResume)
            throws SyscallException {
        long id = snapshot.id();
        Upper upper = snapshot.upper();
        if (upper == null || !upper.bootId().equals(machine.bootId())) {
            condemnForGood(snapshot, PoisonReason.CRASH, "made before the machine started, at " + snapshot.createdAt());
            if (hasDirectory) {
                uppers.throwAway(id);
            }
        } else if (!hasDirectory) {
            condemnForGood(snapshot, PoisonReason.MISSING, "its directory is gone");
        } else if (snapshot.poison() != null) {
            report.count(Outcome.STAYS_POISONED);
            poisonReports.remind(snapshot);
        } else if (standing.contains(id)) {
            // It has all its layers open, as one that was taken over.
            toResume.add(snapshot);
        } else if (uppers.overlay(id).isEmpty()) {
            Optional<SnapshotRecord> lost = lostLayers.among(layers(snapshot));
            if (lost.isPresent()) {
                condemn(snapshot, PoisonReason.MISSING, LostLayers.advice(lost.get()));
            } else if (!Entries.exists(layout.upper(id))) {
                condemn(snapshot, PoisonReason.MISSING, "its upper directory is gone");
            } else {
                toResume.add(snapshot);
            }
        }
    }

    private List<SnapshotRecord> layers(SnapshotRecord snapshot) {
        return snapshot.hasParent() ? store.chain(snapshot.parentId()) : List.of();
    }

    /**
     * Goes on with uppers of this boot that nobody holds: only if the sentinel watched them all the time. An overlay that is mounted
     * elsewhere has a memory of its own.
     */
    private void resume(List<SnapshotRecord> snapshots, Past past) throws SyscallException {
        if (snapshots.isEmpty()) {
            return;
        }
        Map<String, Path> elsewhere =
                snapshots.stream().anyMatch(this::isVolatileActive) ? overlaysElsewhere() : Map.of();
        try (ExecutorService threads = Executors.newFixedThreadPool(
                Math.min(MOUNTING_THREADS, Runtime.getRuntime().availableProcessors()),
                Thread.ofPlatform().name("recovery-", 0).daemon().factory())) {
            for (SnapshotRecord snapshot : snapshots) {
                threads.execute(() -> resume(
                        snapshot,
                        past,
                        elsewhere.get(layout.upper(snapshot.id()).toString())));
            }
        }
    }

    private void resume(SnapshotRecord snapshot, Past past, @Nullable Path elsewhere) {
        long id = snapshot.id();
        boolean isJudged = tryTo("resume", id, () -> {
            if (standing.contains(id)) {
                // What was missing, a descriptor or memory, may be there again. Never a second mount on top of it.
                uppers.adopt(id);
                report.count(Outcome.ADOPTED);
            } else if (elsewhere != null) {
                uppers.reattach(id, elsewhere);
                report.add(Outcome.REATTACHED, id, snapshot.key(), "from " + elsewhere);
            } else if (past != Past.CLEAN) {
                condemn(
                        snapshot,
                        PoisonReason.UNVERIFIABLE,
                        past == Past.ERROR
                                ? "its filesystem has had a writeback error while no daemon watched it"
                                : "nothing has watched its filesystem all the time");
            } else if (!resumeWatched(snapshot)) {
                condemn(snapshot, PoisonReason.UNVERIFIABLE, "a writeback error came while the daemon started");
            }
        });
        if (!isJudged) {
            condemn(snapshot, PoisonReason.UNVERIFIABLE, "it can't be resumed");
        }
    }

    /** False if there was an error meanwhile, which then stays unseen. */
    private boolean resumeWatched(SnapshotRecord snapshot) throws SyscallException {
        long id = snapshot.id();
        if (!isVolatileActive(snapshot)) {
            if (!uppers.watchDurable(id)) {
                return false;
            }
            report.count(Outcome.RESUMED);
            return true;
        }
        if (!uppers.remount(id, mounts.lower(layers(snapshot)))) {
            return false;
        }
        report.add(Outcome.REMOUNTED, id, snapshot.key(), layout.merged(id).toString());
        return true;
    }

    /**
     * Overlays that were taken from their place while a container runs on them: its runtime has mounted them a second time. To mount the
     * upper anew beside such a one would be two overlays on one upper, of which the first loses its work directory.
     */
    private static Map<String, Path> overlaysElsewhere() throws SyscallException {
        Map<String, Path> byUpper = new HashMap<>();
        for (MountInfo mount : MountInfo.ofSelf()) {
            if (mount.isVolatile() && mount.root().equals("/")) {
                Path mountPoint = Path.of(mount.mountPoint());
                mount.superOptions().stream()
                        .filter(option -> option.startsWith(UPPER_OPTION))
                        .map(option -> option.substring(UPPER_OPTION.length()))
                        .filter(upper -> !mountPoint.equals(Path.of(upper).resolveSibling(Layout.MERGED)))
                        .forEach(upper -> byUpper.put(upper, mountPoint));
            }
        }
        return byUpper;
    }

    private synchronized void condemn(SnapshotRecord snapshot, PoisonReason reason, String detail) {
        mustBeRecorded = true;
        condemnForGood(snapshot, reason, detail);
    }

    /** For what another start finds again, recorded or not. */
    private synchronized void condemnForGood(SnapshotRecord snapshot, PoisonReason reason, String detail) {
        if (poisoner.of(snapshot).isPresent()) {
            report.count(Outcome.STAYS_POISONED);
            return;
        }
        verdicts.add(new Poisoner.Verdict(snapshot.id(), reason, null, machine.superblock()));
        report.add(Outcome.POISONED, snapshot.id(), snapshot.key(), reason.word() + ": " + detail);
    }

    /** A Prepare that was never answered, a Remove that was, or what came after the backup that the records are from. */
    private void throwAwayOrphan(long id) {
        tryTo("look at " + layout.snapshot(id), id, () -> {
            if (Entries.exists(layout.committedMark(id))) {
                throwAway(Outcome.THROWN_AWAY_LAYER, id, "a layer without a record");
            } else {
                throwAway(Outcome.THROWN_AWAY, id, "a directory without a record");
            }
        });
    }

    private void throwAway(Outcome outcome, long id, String why) {
        if (trash.throwAwaySoonerOrLater(layout.snapshot(id))) {
            report.add(outcome, id, keyOf(id), why);
        } else {
            report.add(
                    Outcome.FAILED, id, keyOf(id), "can't move " + layout.snapshot(id) + " to the trash yet: " + why);
        }
    }

    /** The id in a path below {@code snapshots/}. */
    private OptionalLong idOf(Path path) {
        return isBelow(layout.snapshots(), path)
                ? idOf(layout.snapshots().relativize(path).getName(0).toString())
                : OptionalLong.empty();
    }

    /** Only as this snapshotter writes it: 007 and +7 are not 7. */
    private static OptionalLong idOf(String name) {
        try {
            long id = Long.parseLong(name);
            return id > 0 && id < MOST_ID && Long.toString(id).equals(name)
                    ? OptionalLong.of(id)
                    : OptionalLong.empty();
        } catch (NumberFormatException _) {
            return OptionalLong.empty();
        }
    }

    private String keyOf(long id) {
        return store.keyOf(id).orElse("");
    }

    @SuppressWarnings("CatchingUnchecked") // one bad snapshot never stops the start
    private boolean tryTo(String what, long id, Step step) {
        try {
            step.run();
            return true;
        } catch (SyscallException | SuperblockUnavailableException | RuntimeException e) {
            report.add(Outcome.FAILED, id, keyOf(id), "can't " + what + ": " + e.getMessage());
            return false;
        }
    }

    @FunctionalInterface
    private interface Step {
        void run() throws SyscallException, SuperblockUnavailableException;
    }
}
