package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.metrics.Metrics;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * Asks the kernel about uppers, and poisons the snapshots of those that have lost a write. The kernel's own samples decide;
 * requests, the watch and error epochs only decide when to ask.
 *
 * <p>May be called from any thread, also with locks held: asking never waits for the device, poisoning waits a bounded time
 * for a metadata transaction (see {@link Poisoner}).
 */
final class Inquiry {
    private final Uppers uppers;
    private final Poisoner poisoner;
    private final Machine machine;
    private final Metrics metrics;

    Inquiry(Uppers uppers, Poisoner poisoner, Machine machine, Metrics metrics) {
        this.uppers = uppers;
        this.poisoner = poisoner;
        this.machine = machine;
        this.metrics = metrics;
    }

    /** Asks the overlay of one volatile snapshot; there is nothing to ask of another one. */
    void ask(long id) {
        long begunNanos = System.nanoTime();
        Optional<Errno> error = uppers.writebackError(id);
        metrics.probeTook(System.nanoTime() - begunNanos);
        error.ifPresent(errno -> lostWrite(id, errno));
    }

    /** As {@link #ask}, for a caller that waits for nothing: what is found holds at once, and is recorded soon. */
    void askInPassing(long id) {
        long begunNanos = System.nanoTime();
        Optional<Errno> error = uppers.writebackError(id);
        metrics.probeTook(System.nanoTime() - begunNanos);
        if (error.isPresent() && poisoner.condemn(List.of(verdict(id, error.get())))) {
            poisoner.recordSoon();
        }
    }

    /**
     * Asks every volatile overlay, and poisons in one transaction. Called by the watch, and at each epoch.
     *
     * @return as {@link Poisoner#poison}
     */
    boolean lookAtOverlays() {
        return poisoner.poison(verdictsOfOverlays());
    }

    private List<Poisoner.Verdict> verdictsOfOverlays() {
        long begunNanos = System.nanoTime();
        List<Poisoner.Verdict> verdicts = verdicts(uppers.mounted(), uppers::writebackError, machine.superblock());
        metrics.probeTook(System.nanoTime() - begunNanos);
        return verdicts;
    }

    /**
     * Asks for each id.
     *
     * @param superblock named by the verdicts
     */
    static List<Poisoner.Verdict> verdicts(
            List<Long> ids, Function<Long, Optional<Errno>> writebackError, String superblock) {
        List<Poisoner.Verdict> verdicts = new ArrayList<>();
        for (Long id : ids) {
            Optional<Errno> error = writebackError.apply(id);
            if (error.isPresent()) {
                verdicts.add(new Poisoner.Verdict(id, PoisonReason.WRITEBACK_ERROR, error.get(), superblock));
            }
        }
        return verdicts;
    }

    /**
     * Looks at everything on a superblock that has an error. A durable snapshot is poisoned without being asked: its witness
     * would report this error at Commit, but a witness does not outlive the daemon, and the poison does.
     *
     * @return as {@link Poisoner#poison}
     */
    boolean lookAtEpoch(Errno errno) {
        return poisoner.poison(
                Stream.concat(verdictsOfOverlays().stream(), verdictsOfWitnesses(uppers.witnessed(), errno))
                        .toList());
    }

    /**
     * To be called once the record of a new snapshot is there: an epoch that began after its overlay was mounted or its witness
     * opened, and looked before that, missed it.
     */
    void lookAtNew(long id) {
        ask(id);
        var _ = poisoner.poison(
                verdictsOfWitnesses(List.of(id), uppers.latestError()).toList());
    }

    /** The filesystem has lost what it had not written back: nothing that was being written on it can be trusted. */
    void poisonAll(Errno errno) {
        var _ = poisoner.poison(Stream.concat(uppers.mounted().stream(), uppers.witnessed().stream())
                .map(id -> new Poisoner.Verdict(id, PoisonReason.FILE_SYSTEM_GONE, errno, machine.superblock()))
                .toList());
    }

    private Stream<Poisoner.Verdict> verdictsOfWitnesses(List<Long> ids, Errno errno) {
        return ids.stream().filter(uppers::hasWitnessedEpoch).map(id -> verdict(id, errno));
    }

    /** Poisons a snapshot whose sync said that a write is lost. */
    void lostWrite(long id, Errno errno) {
        var _ = poisoner.poison(List.of(verdict(id, errno)));
    }

    private Poisoner.Verdict verdict(long id, Errno errno) {
        return new Poisoner.Verdict(id, PoisonReason.WRITEBACK_ERROR, errno, machine.superblock());
    }
}
