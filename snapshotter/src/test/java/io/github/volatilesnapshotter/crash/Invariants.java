package io.github.volatilesnapshotter.crash;

import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.crash.Ledger.Crash;
import io.github.volatilesnapshotter.crash.Ledger.Expected;
import io.github.volatilesnapshotter.crash.Violation.Kind;
import io.github.volatilesnapshotter.lab.MountInfo;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.snapshot.Labels;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import org.awaitility.core.ConditionTimeoutException;

/**
 * What must hold after a crash and the start that follows it, asked over the socket and looked for on the file system. Nobody else uses
 * the snapshotter meanwhile. Nothing stops it: what is wrong is collected.
 */
final class Invariants {
    private static final Duration TIDY_WAIT = Duration.ofSeconds(30);
    private static final Duration POLL_INTERVAL = Duration.ofMillis(20);
    private static final Set<String> OF_A_LAYER = Set.of("fs", "committed");
    private static final Set<String> WITHOUT_DIRECTORY = Set.of("crash", "missing");

    /** What has become of the disk on purpose. */
    enum DiskState {
        /** It works all the time. */
        WORKS,
        /** It has failed, so that an active may be poisoned after a kill. */
        HAS_FAILED,
        /**
         * Its file system was mounted anew as well, because it took no more: what was not on disk is lost. The log of the records is written
         * in place, a directory by the journal that was aborted: so the poison of a snapshot may be there, and its directory not.
         */
        MOUNTED_ANEW
    }

    private final Peer peer;
    private final Client client;
    private final Expected expected;
    private final Crash crash;
    private final DiskState disk;
    private final Map<Long, Tree> uppersBefore;
    private final Meddling meddling;

    private final List<Violation> violations = new ArrayList<>();
    private final Map<String, Entry> found = new TreeMap<>();
    private final Map<String, String> poisoned = new TreeMap<>();
    private int layers;

    /**
     * Of one crash.
     *
     * @param uppersBefore what was in the uppers of actives after the kill and before the start, see {@link #uppers}
     * @param meddling what was done to its mounts in between
     */
    Invariants(
            Peer peer,
            Client client,
            Expected expected,
            Crash crash,
            DiskState disk,
            Map<Long, Tree> uppersBefore,
            Meddling meddling) {
        this.peer = peer;
        this.client = client;
        this.expected = expected;
        this.crash = crash;
        this.disk = disk;
        this.uppersBefore = uppersBefore;
        this.meddling = meddling;
    }

    /**
     * What is wrong, and what is there.
     *
     * @param found each snapshot as it is now
     * @param poisoned the reason of each that is poisoned
     * @param layers how many committed ones were compared
     */
    record Report(List<Violation> violations, Map<String, Entry> found, Map<String, String> poisoned, int layers) {}

    /** Numbers of the directories of snapshots, also of those that wait in the trash: of what is there after a kill. */
    static Set<Long> directories(Peer peer) throws IOException {
        Set<Long> ids = new TreeSet<>();
        for (Path directory : List.of(peer.snapshots(), peer.root().resolve("trash"))) {
            for (String name : names(directory)) {
                String number = name.contains(".") ? name.substring(0, name.indexOf('.')) : name;
                if (number.matches("[0-9]+")) {
                    ids.add(Long.parseLong(number));
                }
            }
        }
        return ids;
    }

    /** The uppers of all actives that are known, while no snapshotter runs. */
    static Map<Long, Tree> uppers(Peer peer, Map<String, Entry> known) throws IOException {
        Map<Long, Tree> uppers = new HashMap<>();
        for (Entry entry : known.values()) {
            boolean isActive = entry.kind() == io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.ACTIVE;
            if (isActive && entry.id() != Ledger.UNKNOWN_ID) {
                uppers.put(entry.id(), Tree.of(peer.upper(entry.id())));
            }
        }
        return uppers;
    }

    /** Checks everything. The snapshotter is left with the snapshots that were found. */
    Report check() throws IOException {
        compareRecords();
        checkCommits();
        compareLayers();
        checkUppers();
        checkNewIds();
        client.cleanup();
        checkDirectories();
        if (peer.isOurs()) {
            checkMounts();
            checkTrash();
        }
        return new Report(violations, found, poisoned, layers);
    }

    private void violated(Kind kind, String text) {
        violations.add(new Violation(kind, text));
    }

    private void compareRecords() {
        Map<String, Info> infos = new TreeMap<>();
        client.list().forEach(info -> infos.put(info.getName(), info));
        infos.forEach((name, info) -> {
            Set<Entry> possible = expected.possible().getOrDefault(name, Set.of());
            Optional<Entry> entry = possible.stream()
                    .filter(Objects::nonNull)
                    .filter(candidate -> isAsFound(candidate, info))
                    .findFirst();
            if (entry.isEmpty()) {
                boolean isChanged = possible.stream().anyMatch(Objects::nonNull);
                violated(
                        isChanged ? Kind.LOST : Kind.UNEXPLAINED,
                        name + " is " + describe(info) + ", may be " + possible);
            }
            String reason = info.getLabelsOrDefault(Labels.POISONED, "");
            if (!reason.isEmpty()) {
                poisoned.put(name, reason);
            }
            found.put(name, withId(name, entry.orElseGet(() -> entryOf(info))));
        });
        expected.possible().forEach((name, possible) -> {
            if (!possible.contains(null) && !infos.containsKey(name)) {
                violated(Kind.LOST, name + " is gone, was " + possible);
            }
        });
        checkPoison();
    }

    private static boolean isAsFound(Entry entry, Info info) {
        return entry.kind() == info.getKind()
                && entry.parent().equals(info.getParent())
                && entry.mark().equals(info.getLabelsOrDefault(Ledger.MARK, ""));
    }

    private static Entry entryOf(Info info) {
        return new Entry(
                info.getKind(),
                false,
                info.getParent(),
                info.getLabelsOrDefault(Ledger.MARK, ""),
                Ledger.UNKNOWN_ID,
                null);
    }

    private static String describe(Info info) {
        return info.getKind() + " on \"" + info.getParent() + "\" " + info.getLabelsMap();
    }

    /** One whose Prepare was not answered says where it lies when it is asked. */
    private Entry withId(String name, Entry entry) {
        if (!isActive(entry) || entry.id() != Ledger.UNKNOWN_ID || poisoned.containsKey(name)) {
            return entry;
        }
        try {
            return entry.withId(Place.of(client.mounts(name)).id());
        } catch (StatusRuntimeException e) {
            violated(Kind.UNUSABLE, name + " has no mounts: " + e.getStatus());
            return entry;
        }
    }

    private static boolean isActive(Entry entry) {
        return entry.kind() == io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.ACTIVE;
    }

    private static boolean isLayer(Entry entry) {
        return entry.kind() == io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.COMMITTED;
    }

    private void checkPoison() {
        poisoned.forEach((name, reason) -> {
            Entry entry = found.get(name);
            boolean isExplained = crash == Crash.POWER_CUT
                    ? reason.equals("crash")
                    : disk != DiskState.WORKS || (reason.equals("unverifiable") && meddling.mayPoison(entry));
            if (!isExplained || !isActive(entry)) {
                violated(Kind.POISONED, name + ": " + reason);
            }
        });
        found.forEach((name, entry) -> {
            if (isActive(entry) && meddling.mustPoison(entry) && !poisoned.containsKey(name)) {
                violated(Kind.NOT_POISONED, name + " (" + entry.id() + ") was not watched");
            }
        });
        if (crash == Crash.POWER_CUT && peer.isOurs()) {
            found.forEach((name, entry) -> {
                if (isActive(entry) && !poisoned.containsKey(name)) {
                    violated(Kind.NOT_POISONED, name);
                }
            });
        }
    }

    private void checkCommits() {
        for (Ledger.Commit commit : expected.open()) {
            boolean isActiveThere = found.containsKey(commit.key());
            boolean isLayerThere = found.containsKey(commit.name());
            if (isActiveThere && isLayerThere) {
                violated(Kind.HALF_DONE, commit.key() + " and its layer " + commit.name() + " are both there");
            }
            if (!isActiveThere && !isLayerThere && commit.isActiveCertain()) {
                violated(Kind.HALF_DONE, commit.key() + " and its layer " + commit.name() + " are both gone");
            }
        }
    }

    private void compareLayers() throws IOException {
        for (Map.Entry<String, Entry> named : found.entrySet()) {
            Entry entry = named.getValue();
            if (!isLayer(entry) || entry.tree() == null) {
                continue;
            }
            layers++;
            String differences = entry.tree().differencesAfterCommit(treeOf(entry.id()), treesBelow(entry, found));
            if (!differences.isEmpty()) {
                violated(Kind.DAMAGED_LAYER, named.getKey() + " (" + entry.id() + "): " + differences);
            }
        }
    }

    /** Of its parents as far as they are known: where one is not, a whiteout that hides something of it may be missing unseen. */
    static List<Tree> treesBelow(Entry entry, Map<String, Entry> known) {
        List<Tree> below = new ArrayList<>();
        Entry parent = known.get(entry.parent());
        while (parent != null && parent.tree() != null) {
            below.add(parent.tree());
            parent = known.get(parent.parent());
        }
        return below;
    }

    private void checkUppers() throws IOException {
        for (Map.Entry<String, Entry> named : found.entrySet()) {
            Tree before = uppersBefore.get(named.getValue().id());
            if (before == null || !isActive(named.getValue())) {
                continue;
            }
            String differences = before.differencesTo(treeOf(named.getValue().id()));
            if (!differences.isEmpty()) {
                violated(Kind.ALTERED_UPPER, named.getKey() + ": " + differences);
            }
        }
    }

    /** A damaged file system may not even let itself be read. */
    private Tree treeOf(long id) {
        try {
            return Tree.of(peer.upper(id));
        } catch (IOException e) {
            return new Tree(new TreeMap<>(Map.of("unreadable", e.toString())));
        }
    }

    private void checkNewIds() {
        for (String key : List.of("crash/0/extract-probe", "crash/0/probe")) {
            try {
                long id = Place.of(client.prepare(key, "", Map.of())).id();
                if (id <= expected.highestId()) {
                    violated(Kind.ID_REUSED, "a new snapshot got " + id + ", seen before: " + expected.highestId());
                }
                client.remove(key);
            } catch (StatusRuntimeException e) {
                violated(Kind.PREPARE_FAILS, "Prepare or Remove of " + key + " was answered " + e.getStatus());
            }
        }
    }

    private void checkDirectories() throws IOException {
        Map<Long, String> withRecord = new TreeMap<>();
        int withUnknownId = 0;
        for (Map.Entry<String, Entry> named : found.entrySet()) {
            Entry entry = named.getValue();
            boolean isKept = !WITHOUT_DIRECTORY.contains(poisoned.getOrDefault(named.getKey(), ""));
            boolean hasDirectory = isLayer(entry) || (isActive(entry) && isKept) || !peer.isOurs();
            if (hasDirectory && entry.id() != Ledger.UNKNOWN_ID) {
                withRecord.put(entry.id(), named.getKey());
            } else if (hasDirectory) {
                withUnknownId++;
            }
        }
        Set<Long> there = new TreeSet<>();
        for (String name : names(peer.snapshots())) {
            if (name.matches("[0-9]+")) {
                there.add(Long.parseLong(name));
            } else {
                violated(Kind.STRAY_FILE, peer.snapshots().resolve(name).toString());
            }
        }
        withRecord.forEach((id, name) -> {
            boolean mayBeGone =
                    disk == DiskState.MOUNTED_ANEW && isActive(found.get(name)) && poisoned.containsKey(name);
            if (!there.remove(id) && !mayBeGone) {
                violated(Kind.MISSING_DIRECTORY, "there is no directory " + id + " of " + describe(name));
            }
        });
        if (there.size() > withUnknownId) {
            violated(Kind.ORPHAN_DIRECTORY, there + " have no record, but for " + withUnknownId);
        }
        if (peer.isOurs()) {
            checkLayerDirectories();
        }
    }

    private String describe(String name) {
        String reason = poisoned.getOrDefault(name, "");
        return found.get(name).kind() + " " + name + (reason.isEmpty() ? "" : ", poisoned " + reason);
    }

    private void checkLayerDirectories() throws IOException {
        for (Map.Entry<String, Entry> named : found.entrySet()) {
            Entry entry = named.getValue();
            if (isLayer(entry) && entry.id() != Ledger.UNKNOWN_ID) {
                Path directory = peer.upper(entry.id()).getParent();
                if (!comesTrue(() -> OF_A_LAYER.equals(names(directory)))) {
                    violated(Kind.STRAY_FILE, named.getKey() + " (" + entry.id() + ") has " + names(directory));
                }
            }
        }
    }

    private void checkMounts() throws IOException {
        Map<Path, Integer> mounts = new HashMap<>();
        int sentinels = 0;
        for (MountInfo mount : MountInfo.all()) {
            Path mountPoint = Path.of(mount.mountPoint());
            if (mountPoint.startsWith(peer.snapshots())) {
                mounts.merge(mountPoint, 1, Integer::sum);
            } else if (mountPoint.startsWith(peer.state()) && !mountPoint.equals(peer.state())) {
                sentinels++;
            }
        }
        if (sentinels > 1) {
            violated(Kind.ORPHAN_MOUNT, sentinels + " mounts below " + peer.state() + ", one of them the sentinel");
        }
        int withUnknownId = 0;
        for (Map.Entry<String, Entry> named : found.entrySet()) {
            Entry entry = named.getValue();
            if (!isActive(entry) || !entry.isVolatile()) {
                continue;
            }
            boolean isPoisoned = poisoned.containsKey(named.getKey());
            if (entry.id() == Ledger.UNKNOWN_ID) {
                withUnknownId++;
                continue;
            }
            int count = Optional.ofNullable(mounts.remove(peer.upper(entry.id()).resolveSibling("merged")))
                    .orElse(0);
            // On a file system that keeps failing a container gets a plain overlay, which its client mounts.
            boolean isOurs = disk == DiskState.WORKS
                    || (!isPoisoned && Place.of(client.mounts(named.getKey())).isMounted());
            if (count == 0 && !isPoisoned && isOurs) {
                violated(Kind.MISSING_MOUNT, named.getKey() + " (" + entry.id() + ")");
            } else if (count > 1) {
                violated(Kind.ORPHAN_MOUNT, named.getKey() + " (" + entry.id() + ") is mounted " + count + " times");
            }
        }
        if (mounts.size() > withUnknownId) {
            violated(Kind.ORPHAN_MOUNT, mounts + ", but for " + withUnknownId);
        }
    }

    private void checkTrash() throws IOException {
        Path trash = peer.root().resolve("trash");
        if (!comesTrue(() -> names(trash).isEmpty())) {
            violated(Kind.TRASH_LEFT, names(trash).toString());
        }
    }

    /** Some of what a start finds is done beside the first requests. */
    private static boolean comesTrue(Callable<Boolean> condition) {
        try {
            await().atMost(TIDY_WAIT)
                    .pollDelay(Duration.ZERO)
                    .pollInterval(POLL_INTERVAL)
                    .until(condition);
            return true;
        } catch (ConditionTimeoutException _) {
            return false;
        }
    }

    private static Set<String> names(Path directory) throws IOException {
        if (!Files.exists(directory)) {
            return Set.of();
        }
        Set<String> names = new TreeSet<>();
        try (Stream<Path> entries = Files.list(directory)) {
            entries.forEach(entry -> names.add(entry.getFileName().toString()));
        }
        return names;
    }
}
