package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.crash.Violation.Kind;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * Uses what has come through a crash: an active that is not poisoned can be mounted, written, committed and removed; a poisoned one can
 * be removed only, and says why. Some are left as they are, so that they come through the next crash too.
 */
final class Survivors {
    private final Client client;
    private final Ledger ledger;
    private final Random random;
    private final List<Violation> violations = new ArrayList<>();

    /** @param ledger that has settled on what was found, and goes on to follow it */
    Survivors(Client client, Ledger ledger, Random random) {
        this.client = client;
        this.ledger = ledger;
        this.random = random;
    }

    /** @param poisoned the reason of each that is poisoned */
    List<Violation> use(Peer peer, Map<String, String> poisoned) throws IOException {
        for (Map.Entry<String, Entry> named : ledger.known().entrySet()) {
            Entry entry = named.getValue();
            if (entry.kind() != io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.ACTIVE) {
                continue;
            }
            try {
                if (poisoned.containsKey(named.getKey())) {
                    checkPoisoned(named.getKey(), poisoned.get(named.getKey()));
                    remove(named.getKey(), entry);
                } else {
                    use(peer, named.getKey(), entry);
                }
            } catch (StatusRuntimeException e) {
                violations.add(new Violation(Kind.UNUSABLE, named.getKey() + " was answered " + e.getStatus()));
            }
        }
        return violations;
    }

    private void use(Peer peer, String key, Entry entry) throws IOException {
        Place place = Place.of(client.mounts(key));
        if (place.id() != entry.id()) {
            violations.add(new Violation(Kind.UNUSABLE, key + " has mounts of " + place.id() + ", was " + entry.id()));
        }
        switch (random.nextInt(4)) {
            case 0 -> {
                if (place.isMounted()) {
                    Content.writeThrough(random, place.written());
                } else {
                    Content.writeLayer(random, place.written());
                }
            }
            case 1 -> commit(peer, key, entry, place);
            case 2 -> remove(key, entry);
            default -> {}
        }
    }

    private void commit(Peer peer, String key, Entry entry, Place place) throws IOException {
        String name = key.replace("extract-", "") + "-survived";
        Tree tree = Tree.ofActive(place.upper());
        Entry after = new Entry(
                io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.COMMITTED,
                false,
                entry.parent(),
                entry.mark(),
                entry.id(),
                tree);
        Ledger.Operation operation = ledger.beginCommit(key, name, after);
        client.commit(name, key, "", Map.of(Ledger.MARK, entry.mark()));
        ledger.acknowledge(operation, entry.id());
        String differences = tree.differencesAfterCommit(
                Tree.of(peer.upper(entry.id())), Invariants.treesBelow(after, ledger.known()));
        if (!differences.isEmpty()) {
            violations.add(new Violation(Kind.DAMAGED_LAYER, name + " by its Commit: " + differences));
        }
    }

    private void remove(String key, Entry entry) {
        Ledger.Operation operation = ledger.beginRemove(key, entry);
        client.remove(key);
        ledger.acknowledge(operation);
    }

    private void checkPoisoned(String key, String reason) {
        checkRefused(key, reason, () -> client.mounts(key));
        checkRefused(key, reason, () -> client.commit(key + "-poisoned", key, "", Map.of()));
    }

    private void checkRefused(String key, String reason, Runnable request) {
        try {
            request.run();
            violations.add(new Violation(Kind.UNUSABLE, key + " is poisoned (" + reason + ") and can be used"));
        } catch (StatusRuntimeException e) {
            if (e.getStatus().getCode() != Status.Code.FAILED_PRECONDITION
                    || !String.valueOf(e.getStatus().getDescription()).contains("is poisoned: " + reason)) {
                violations.add(new Violation(
                        Kind.UNUSABLE, key + " is poisoned (" + reason + ") and answers " + e.getStatus()));
            }
        }
    }
}
