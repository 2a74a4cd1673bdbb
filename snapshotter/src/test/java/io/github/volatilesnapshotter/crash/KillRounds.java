package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.crash.Ledger.Crash;
import io.github.volatilesnapshotter.crash.Violation.Kind;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Collectors;

/**
 * Starts a snapshotter, loads it, kills it, starts it again on the same root, checks every invariant, and so on. One root is used for
 * many rounds, so that what a round leaves behind troubles the later ones.
 */
final class KillRounds {
    private static final int SHORTEST_MILLIS = 20;
    private static final int LONGEST_MILLIS = 500;

    private final Peer peer;
    private final Load.Settings load;
    private final long seed;
    private final Random random;
    private final Ledger ledger = new Ledger();
    private final List<String> violations = new ArrayList<>();
    private final Map<Kind, Integer> counts = new EnumMap<>(Kind.class);
    private int rounds;
    private int damagedRounds;
    private long calls;
    private long layers;
    private long survivors;

    KillRounds(Peer peer, Load.Settings load, long seed) {
        this.peer = peer;
        this.load = load;
        this.seed = seed;
        this.random = new Random(seed);
    }

    /** Runs one more round. */
    void run() throws IOException, InterruptedException {
        rounds++;
        int before = violations.size();
        peer.start();
        try {
            loadAndKill();
            Map<Long, Tree> uppers = Invariants.uppers(peer, ledger.known());
            Invariants.directories(peer).forEach(ledger::sawId);
            peer.start();
            check(uppers);
        } finally {
            peer.kill();
        }
        damagedRounds += violations.size() > before ? 1 : 0;
    }

    private void loadAndKill() throws IOException, InterruptedException {
        try (Load running = new Load(peer, ledger, load, seed * 1_000 + rounds)) {
            running.start();
            boolean _ = running.awaitEnd(random.nextInt(SHORTEST_MILLIS, LONGEST_MILLIS));
            peer.kill();
            running.stop();
            calls += running.calls();
            running.complaints().forEach(complaint -> violated(new Violation(Kind.REFUSED, complaint)));
        }
    }

    private void check(Map<Long, Tree> uppers) throws IOException {
        try (Client client = peer.connect()) {
            Invariants.Report report = new Invariants(
                            peer, client, ledger.expectedAfterKill(), Crash.KILL, load.mayFail(), uppers)
                    .check();
            report.violations().forEach(this::violated);
            layers += report.layers();
            survivors += report.found().values().stream()
                    .filter(entry ->
                            entry.kind() == io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.ACTIVE)
                    .count();
            ledger.settle(report.found());
            new Survivors(client, ledger, random).use(peer, report.poisoned()).forEach(this::violated);
        } catch (StatusRuntimeException e) {
            violated(new Violation(Kind.UNUSABLE, "a check was answered " + e.getStatus()));
        }
    }

    private void violated(Violation violation) {
        counts.merge(violation.kind(), 1, Integer::sum);
        violations.add("seed " + seed + " round " + rounds + ": " + violation);
    }

    /** One line each, with the seed and the round. */
    List<String> violations() {
        return violations;
    }

    /** What was seen, in words. */
    String summary() {
        String wrong = counts.entrySet().stream()
                .map(counted -> counted.getValue() + " " + counted.getKey().words())
                .collect(Collectors.joining(", "));
        return peer.kind() + ": " + rounds + " rounds, " + calls + " answers, " + layers + " layers compared, "
                + survivors + " actives survived; violated in " + damagedRounds + " rounds"
                + (wrong.isEmpty() ? "" : ": " + wrong);
    }

    Path root() {
        return peer.root();
    }
}
