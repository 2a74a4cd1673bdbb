package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.Poison;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.BooleanSupplier;

/**
 * Poison that was found and is not in the records yet, or that nobody was told of, by the snapshots' ids. It holds from the moment it is added; but not that of a
 * snapshot whose Commit is on its way to disk: such a layer was seen to be whole before, so the Commit may succeed, and nobody may have
 * been told by then that the snapshot is poisoned. If the Commit fails, the poison holds from then on.
 *
 * <p>Any thread. The lock is held for a few instructions, and a look into the records' copy in memory. Bounded by the snapshots.
 */
final class UnrecordedPoison {
    private final Map<Long, Poison> found = new HashMap<>();

    /** Added together with {@link #found}: whoever records the one finds the other. */
    private final Map<Long, Poison> untold = new HashMap<>();

    private final Set<Long> committing = new HashSet<>();

    /** So that what is asked for each of many snapshots takes no lock while nothing is poisoned. */
    private volatile boolean isEmpty = true;

    boolean isEmpty() {
        return isEmpty;
    }

    int size() {
        return isEmpty ? 0 : all().size();
    }

    /** What the snapshot is refused for. */
    synchronized Optional<Poison> holding(long id) {
        return committing.contains(id) ? Optional.empty() : Optional.ofNullable(found.get(id));
    }

    /** Whether there is poison that a Commit on its way to disk may make void. */
    synchronized boolean isOpen(long id) {
        return committing.contains(id) && found.containsKey(id);
    }

    /**
     * Adds the poison unless there is one.
     *
     * @param canBePoisoned what the records say; no Commit can succeed between this question and the addition
     * @return whether it was added
     */
    synchronized boolean add(long id, Poison poison, BooleanSupplier canBePoisoned) {
        boolean isNew = !found.containsKey(id) && canBePoisoned.getAsBoolean();
        if (isNew) {
            found.put(id, poison);
            untold.put(id, poison);
            isEmpty = false;
        }
        return isNew;
    }

    /** A copy, with those that do not hold yet. */
    synchronized Map<Long, Poison> all() {
        return Map.copyOf(found);
    }

    /** A copy: what nobody was told of, recorded or not. */
    synchronized Map<Long, Poison> untold() {
        return Map.copyOf(untold);
    }

    synchronized void told(long id) {
        untold.remove(id);
    }

    /** They are in the records, or the snapshots are gone. */
    synchronized void remove(Collection<Long> ids) {
        found.keySet().removeAll(ids);
        isEmpty = found.isEmpty();
    }

    /** Called when the record of the Commit is about to be written, unless the answer is what stands in its way. */
    synchronized Optional<Poison> beginCommit(long id) {
        Optional<Poison> poison = Optional.ofNullable(found.get(id));
        if (poison.isEmpty()) {
            committing.add(id);
        }
        return poison;
    }

    /** The outcome is in the records' copy in memory. Does nothing for one that has not begun. */
    synchronized void endCommit(long id, boolean isLayer) {
        if (committing.remove(id) && isLayer) {
            found.remove(id);
            untold.remove(id);
            isEmpty = found.isEmpty();
        }
    }
}
