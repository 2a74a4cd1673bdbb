package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.Fields;
import io.github.volatilesnapshotter.metadata.Poison;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** How a record looks to clients: with the labels that this snapshotter adds. */
final class Infos {
    private final Poisoner poisoner;
    private final LostLayers lostLayers;

    Infos(Poisoner poisoner, LostLayers lostLayers) {
        this.poisoner = poisoner;
        this.lostLayers = lostLayers;
    }

    /** @param parent the parent's name, empty if there is none */
    SnapshotInfo of(SnapshotRecord snapshot, String parent) {
        return new SnapshotInfo(
                snapshot.key(),
                parent,
                kind(snapshot),
                snapshot.createdAt(),
                snapshot.updatedAt(),
                effectiveLabels(snapshot));
    }

    private static Kind kind(SnapshotRecord snapshot) {
        return switch (snapshot.kind()) {
            case VIEW -> Kind.VIEW;
            case ACTIVE -> Kind.ACTIVE;
            case COMMITTED -> Kind.COMMITTED;
        };
    }

    private Map<String, String> effectiveLabels(SnapshotRecord snapshot) {
        Optional<Poison> poison = poisoner.of(snapshot);
        long generation = snapshot.upper() == null ? 0 : snapshot.upper().generation();
        boolean isLost = lostLayers.contains(snapshot.id());
        if (poison.isEmpty() && generation == 0 && !isLost) {
            return snapshot.labels();
        }
        Map<String, String> labels = new HashMap<>(snapshot.labels());
        if (isLost) {
            labels.put(Labels.POISONED, PoisonReason.MISSING.word());
            return labels;
        }
        labels.put(Labels.GENERATION, Long.toString(generation));
        poison.ifPresent(known -> {
            labels.put(Labels.POISONED, known.reason());
            labels.put(Labels.POISONED_AT, known.at().toString());
        });
        return labels;
    }

    /** The fields that containerd's filters know ({@code core/snapshots/storage}, adaptSnapshot). */
    static Fields fields(SnapshotInfo info) {
        return path -> field(info, path);
    }

    private static Optional<String> field(SnapshotInfo info, List<String> path) {
        return switch (path.getFirst()) {
            case "name" -> Optional.of(info.name());
            case "parent" -> Optional.of(info.parent());
            case "kind" -> Optional.of(info.kind().word());
            case "labels" -> Optional.ofNullable(info.labels().get(String.join(".", path.subList(1, path.size()))));
            default -> Optional.empty();
        };
    }
}
