package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * What was asked of a snapshotter and what it acknowledged, in order. From it follows what must be there after a crash, what must not,
 * and what may be either: {@link #expected}.
 *
 * <p>Requests that change one key come one after the other; those for different keys may be under way at the same time. Any thread.
 */
final class Ledger {
    /** The label whose value tells the states of one snapshot apart. */
    static final String MARK = "mark";

    static final long UNKNOWN_ID = 0;

    /** How far the records go back after a crash. */
    enum Crash {
        /** The process is gone, the kernel is not: nothing that was acknowledged may be missing. */
        KILL,
        /** Ordered operations may be missing that were acknowledged after the last durable one began. */
        POWER_CUT
    }

    /** A request that changes snapshots. */
    static final class Operation {
        private final String what;
        private final String key;
        private final String name;
        private final Entry after;
        private final boolean isDurable;
        private final long begunAt;
        private long acknowledgedAt = NEVER;
        private boolean isRefused;
        private long id = UNKNOWN_ID;

        private Operation(String what, String key, String name, Entry after, boolean isDurable, long begunAt) {
            this.what = what;
            this.key = key;
            this.name = name;
            this.after = after;
            this.isDurable = isDurable;
            this.begunAt = begunAt;
        }

        String key() {
            return key;
        }

        private boolean isCommit() {
            return !name.equals(key);
        }

        /** What the snapshot of this name is after it; null for absent. */
        private Entry effectOn(String named) {
            if (!named.equals(name) || after == null) {
                return null;
            }
            return id == UNKNOWN_ID ? after : after.withId(id);
        }

        @Override
        public String toString() {
            return what + " " + key + (isCommit() ? " as " + name : "");
        }
    }

    private static final long NEVER = Long.MAX_VALUE;

    private final Map<String, Entry> base = new HashMap<>();
    private final List<Operation> operations = new ArrayList<>();
    private final Set<String> poisoned = new HashSet<>();
    private long clock;
    private long highestId;
    private long acknowledged;

    /** A Prepare or View is about to be sent. */
    synchronized Operation beginPrepare(String key, Entry after) {
        return begin("Prepare", key, key, after, false);
    }

    /** An Update is about to be sent. */
    synchronized Operation beginUpdate(String key, Entry after) {
        return begin("Update", key, key, after, after.kind() == Kind.COMMITTED);
    }

    /** A Remove is about to be sent. */
    synchronized Operation beginRemove(String key, Entry before) {
        return begin("Remove", key, key, null, before.kind() == Kind.COMMITTED);
    }

    /** A Commit is about to be sent; {@code after} has the tree that the layer must have. */
    synchronized Operation beginCommit(String key, String name, Entry after) {
        return begin("Commit", key, name, after, true);
    }

    private Operation begin(String what, String key, String name, Entry after, boolean isDurable) {
        Operation operation = new Operation(what, key, name, after, isDurable, ++clock);
        operations.add(operation);
        return operation;
    }

    /** The answer was OK. */
    void acknowledge(Operation operation) {
        acknowledge(operation, UNKNOWN_ID);
    }

    /** The answer was OK and named a directory. */
    synchronized void acknowledge(Operation operation, long id) {
        operation.id = id;
        operation.acknowledgedAt = ++clock;
        highestId = Math.max(highestId, id);
        acknowledged++;
    }

    /** The answer says that nothing was done. An operation without any answer stays as it is: its outcome is not known. */
    synchronized void refuse(Operation operation) {
        operation.isRefused = true;
    }

    /** This moment, for {@link #expected}. */
    synchronized long now() {
        return ++clock;
    }

    /** A directory with this number was seen: no other snapshot may get it. */
    synchronized void sawId(long id) {
        highestId = Math.max(highestId, id);
    }

    /** A client was told that it is poisoned: it can never be used again. */
    synchronized void sawPoisoned(String key) {
        poisoned.add(key);
    }

    /** Keys of which {@link #sawPoisoned} was said; some may be removed. */
    synchronized Set<String> poisoned() {
        return Set.copyOf(poisoned);
    }

    /** How many changes were acknowledged so far. */
    synchronized long acknowledged() {
        return acknowledged;
    }

    /** What must be there after a kill that has ended all requests. */
    synchronized Expected expectedAfterKill() {
        return expected(Crash.KILL, clock, clock);
    }

    /**
     * What must be there after a crash that came after the one moment and before the other.
     *
     * @param certainUntil what was acknowledged before it has happened
     * @param possibleUntil what was begun after it has not
     */
    synchronized Expected expected(Crash crash, long certainUntil, long possibleUntil) {
        long durableUntil = crash == Crash.KILL ? NEVER : lastDurable(certainUntil);
        Map<String, Set<Entry>> possible = new TreeMap<>();
        Map<String, Operation> last = new HashMap<>();
        base.forEach((name, entry) -> possible.put(name, only(entry)));
        List<Commit> open = new ArrayList<>();
        long highest = base.values().stream().mapToLong(Entry::id).max().orElse(UNKNOWN_ID);
        for (Operation operation : operations) {
            if (operation.isRefused || operation.begunAt > possibleUntil) {
                continue;
            }
            boolean isAcknowledged = operation.acknowledgedAt <= certainUntil;
            boolean isCertain = isAcknowledged && (operation.isDurable || operation.acknowledgedAt < durableUntil);
            if (isAcknowledged) {
                highest = Math.max(highest, operation.id);
            }
            Set<Entry> before = possible.getOrDefault(operation.key, only(null));
            if (operation.isCommit() && !isCertain) {
                open.add(new Commit(operation.key, operation.name, !before.contains(null)));
            }
            for (String name : operation.isCommit() ? List.of(operation.key, operation.name) : List.of(operation.key)) {
                Entry effect = operation.effectOn(name);
                if (isCertain) {
                    possible.put(name, only(effect));
                } else {
                    possible.computeIfAbsent(name, _ -> only(null)).add(effect);
                }
                last.put(name, operation);
            }
        }
        // One that was changed again after its Commit says nothing about the two names together.
        open.removeIf(commit -> !last.get(commit.key).equals(last.get(commit.name)));
        return new Expected(possible, open, Math.max(highest, crash == Crash.KILL ? highestId : UNKNOWN_ID));
    }

    private long lastDurable(long certainUntil) {
        return operations.stream()
                .filter(operation -> operation.isDurable && operation.acknowledgedAt <= certainUntil)
                .mapToLong(operation -> operation.begunAt)
                .max()
                .orElse(0);
    }

    private static Set<Entry> only(Entry entry) {
        Set<Entry> set = new LinkedHashSet<>();
        set.add(entry);
        return set;
    }

    /** Whether a Remove of this name was sent, whatever became of it: others must expect that it is gone. */
    synchronized boolean isBeingRemoved(String name) {
        return operations.stream()
                .anyMatch(operation -> operation.after == null && operation.key.equals(name) && !operation.isRefused);
    }

    /** What is there as far as is known: without those whose last operation is open. */
    synchronized Map<String, Entry> known() {
        Map<String, Entry> known = new TreeMap<>();
        expectedAfterKill().possible().forEach((name, entries) -> {
            Entry entry = entries.iterator().next();
            if (entries.size() == 1 && entry != null) {
                known.put(name, entry);
            }
        });
        return known;
    }

    /** From now on, what was found after a crash is what is there. No request may be under way. */
    synchronized void settle(Map<String, Entry> found) {
        base.clear();
        base.putAll(found);
        operations.clear();
    }

    /** A Commit of which it is not known whether it was done: both names are never there, and one is if the active was. */
    record Commit(String key, String name, boolean isActiveCertain) {}

    /**
     * What may be there after a crash.
     *
     * @param possible for each name that was ever used, its possible states; null among them for absent. Others must not be there
     * @param open Commits whose outcome is not known
     * @param highestId number of a directory that was given; new ones must be above it
     */
    record Expected(Map<String, Set<Entry>> possible, List<Commit> open, long highestId) {}
}
