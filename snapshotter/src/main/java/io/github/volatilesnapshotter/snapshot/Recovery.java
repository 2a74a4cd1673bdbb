package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.Upper;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock.Past;
import java.io.IOException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.Set;

/**
 * What a start does with what an earlier daemon, a crash or an operator left. Two steps, with the superblock's own start between
 * them: {@link #adopt} takes over what is mounted, so that an error found by the sentinel is asked of it; {@link #judge} decides
 * about the rest. Doing it twice changes nothing. One snapshot that can't be judged never stops it.
 */
final class Recovery {
    private static final System.Logger LOG = System.getLogger(Recovery.class.getName());

    private final Layout layout;
    private final SnapshotStore store;
    private final Uppers uppers;
    private final Poisoner poisoner;
    private final Trash trash;
    private final SnapshotMounts mounts;
    private final Machine machine;

    private final Map<Path, MountInfo> mounted = new HashMap<>();
    private final List<Poisoner.Verdict> verdicts = new ArrayList<>();
    private int adopted;
    private int remounted;
    private int orphans;

    Recovery(Layout layout, SnapshotStore store, Uppers uppers, Poisoner poisoner, Trash trash, Machine machine) {
        this.layout = layout;
        this.store = store;
        this.uppers = uppers;
        this.poisoner = poisoner;
        this.trash = trash;
        this.mounts = new SnapshotMounts(layout);
        this.machine = machine;
    }

    /** What was found and done. */
    record Report(int snapshots, int adopted, int remounted, int poisoned, int orphans) {}

    /** Takes over the overlays that are still mounted and really ours. */
    void adopt() throws SyscallException {
        for (MountInfo mount : MountInfo.ofSelf()) {
            Path mountPoint = Path.of(mount.mountPoint());
            if (mountPoint.startsWith(layout.snapshots())) {
                mounted.put(mountPoint, mount);
            }
        }
        for (SnapshotRecord snapshot : store.all()) {
            MountInfo mount = mounted.get(layout.merged(snapshot.id()));
            if (mount != null && isVolatileActive(snapshot) && isOverlayOf(snapshot.id(), mount)) {
                tryTo("adopt the overlay of", snapshot.key(), () -> {
                    uppers.adopt(snapshot.id());
                    adopted++;
                });
            }
        }
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
                        .anyMatch(option -> option.equals("upperdir=" + layout.upper(id))
                                || option.startsWith("upperdir=/proc/self/fd/"));
    }

    Report judge(Past past) throws SyscallException {
        List<SnapshotRecord> snapshots = store.all();
        Set<Long> withDirectory = new HashSet<>();
        for (SnapshotRecord snapshot : snapshots) {
            switch (snapshot.kind()) {
                case VIEW -> {}
                case COMMITTED -> {
                    withDirectory.add(snapshot.id());
                    tryTo("check layer", snapshot.key(), () -> checkLayer(snapshot));
                }
                case ACTIVE -> {
                    withDirectory.add(snapshot.id());
                    tryTo("judge", snapshot.key(), () -> judgeActive(snapshot, past));
                    CrashPoint.START_JUDGED.reached();
                }
            }
        }
        poisoner.poisonAndWait(verdicts);
        CrashPoint.START_POISONED.reached();
        throwAwayOrphans(withDirectory);
        return new Report(snapshots.size(), adopted, remounted, verdicts.size(), orphans);
    }

    private void checkLayer(SnapshotRecord layer) throws SyscallException {
        if (!Entries.exists(layout.upper(layer.id()))) {
            LOG.log(
                    WARNING,
                    "committed snapshot has no directory: remove it and pull its image again",
                    "name",
                    layer.key());
        }
        // A Commit that ended after its record.
        detachAllAt(layout.merged(layer.id()));
        uppers.becomeLayer(layer.id());
    }

    private void judgeActive(SnapshotRecord snapshot, Past past) throws SyscallException {
        long id = snapshot.id();
        Upper upper = snapshot.upper();
        if (upper == null || !upper.bootId().equals(machine.bootId())) {
            condemn(snapshot, PoisonReason.CRASH);
            uppers.throwAway(id);
        } else if (!Entries.exists(layout.upper(id))) {
            condemn(snapshot, PoisonReason.MISSING);
        } else if (snapshot.poison() != null) {
            poisoner.remind(snapshot);
        } else if (uppers.overlay(id).isEmpty()) {
            resume(snapshot, upper.role(), past);
        }
    }

    /** Goes on with an upper of this boot that nobody holds: only if the sentinel watched it all the time. */
    private void resume(SnapshotRecord snapshot, Role role, Past past) {
        if (past != Past.CLEAN) {
            condemn(snapshot, PoisonReason.UNVERIFIABLE);
            return;
        }
        boolean isResumed = tryTo("resume", snapshot.key(), () -> {
            switch (role) {
                case DURABLE -> uppers.watchDurable(snapshot.id());
                case VOLATILE -> {
                    detachAllAt(layout.merged(snapshot.id()));
                    uppers.remount(snapshot.id(), lower(snapshot));
                    remounted++;
                }
            }
        });
        if (!isResumed) {
            condemn(snapshot, PoisonReason.UNVERIFIABLE);
        }
    }

    private List<Path> lower(SnapshotRecord snapshot) {
        return mounts.lower(snapshot.hasParent() ? store.chain(snapshot.parentId()) : List.of());
    }

    private void condemn(SnapshotRecord snapshot, PoisonReason reason) {
        if (poisoner.of(snapshot).isEmpty()) {
            verdicts.add(new Poisoner.Verdict(snapshot.id(), reason, null, machine.superblock()));
        }
    }

    /** Directories and mounts without a record: a Prepare that was never answered, or a Remove that was. */
    private void throwAwayOrphans(Set<Long> withDirectory) throws SyscallException {
        mounted.keySet().stream().sorted(Comparator.reverseOrder()).forEach(mountPoint -> {
            if (idOf(mountPoint).stream().noneMatch(withDirectory::contains)) {
                tryTo("detach", mountPoint.toString(), () -> detachAllAt(mountPoint));
            }
        });
        for (Path directory : directories()) {
            OptionalLong id = idOf(directory);
            if (id.isEmpty()) {
                LOG.log(WARNING, "not ours and left alone", "directory", directory);
                continue;
            }
            store.raiseIdsAbove(id.getAsLong());
            if (!withDirectory.contains(id.getAsLong())) {
                orphans++;
                tryTo("throw away", directory.toString(), () -> trash.throwAway(directory));
            }
        }
    }

    private void detachAllAt(Path mountPoint) throws SyscallException {
        if (mounted.containsKey(mountPoint)) {
            VolatileOverlay.detach(mountPoint);
            CrashPoint.ORPHAN_DETACHED.reached();
        }
    }

    private List<Path> directories() throws SyscallException {
        List<Path> directories = new ArrayList<>();
        try (DirectoryStream<Path> stream = Files.newDirectoryStream(layout.snapshots())) {
            stream.forEach(directories::add);
        } catch (IOException e) {
            throw new SyscallException("readdir", layout.snapshots().toString(), Errno.EIO, e.toString());
        }
        return directories;
    }

    /** The id in a path below {@code snapshots/}. */
    private OptionalLong idOf(Path path) {
        String name = layout.snapshots().relativize(path).getName(0).toString();
        try {
            return OptionalLong.of(Long.parseLong(name));
        } catch (NumberFormatException e) {
            return OptionalLong.empty();
        }
    }

    private static boolean tryTo(String what, String name, Step step) {
        try {
            step.run();
            return true;
        } catch (SyscallException | SuperblockUnavailableException e) {
            LOG.log(WARNING, "can't " + what + " " + name, e);
            return false;
        }
    }

    @FunctionalInterface
    private interface Step {
        void run() throws SyscallException, SuperblockUnavailableException;
    }
}
