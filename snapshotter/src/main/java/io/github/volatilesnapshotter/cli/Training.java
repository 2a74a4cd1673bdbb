package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CleanupRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.CommitSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ListSnapshotsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.MountsRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.PrepareSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.RemoveSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.SnapshotsGrpc.SnapshotsBlockingStub;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.StatSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UpdateSnapshotRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.UsageRequest;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.ViewSnapshotRequest;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * Calls everything that containerd calls, of a daemon that the build has started for that: what was loaded and compiled then comes from
 * the start-up cache at every later start. Without it the first Prepare after a start took 60 to 80 ms.
 */
public final class Training {
    /** So many calls that the compiler takes what each of them runs through; it begins at 200. */
    private static final int TURNS = 220;

    private static final String LAYER = "training/1/sha256:layer";
    private static final String CONTAINER = "training/2/container";
    private static final Map<String, String> LABELS = Map.of("training", "true");

    private final SnapshotsBlockingStub snapshots;

    private Training(SnapshotsBlockingStub snapshots) {
        this.snapshots = snapshots;
    }

    /**
     * Takes some seconds.
     *
     * @param arguments the daemon's socket
     */
    public static void main(String[] arguments) throws Exception {
        try (SocketClient client = new SocketClient(Path.of(arguments[0]))) {
            train(client, TURNS);
        }
    }

    static void train(SocketClient client, int turns) {
        for (int turn = 0; turn < turns; turn++) {
            new Training(client.snapshots()).takeTurn();
        }
    }

    /** A pull of one layer, a container on it, and the end of both. */
    private void takeTurn() {
        refused(() ->
                snapshots.stat(StatSnapshotRequest.newBuilder().setKey(LAYER).build()));
        String unpacked = "training/0/extract-layer";
        var _ = snapshots.prepare(prepare(unpacked, ""));
        var _ = snapshots.commit(CommitSnapshotRequest.newBuilder()
                .setKey(unpacked)
                .setName(LAYER)
                .putAllLabels(LABELS)
                .build());
        String view = "training/3/view";
        var _ = snapshots.view(
                ViewSnapshotRequest.newBuilder().setKey(view).setParent(LAYER).build());
        var _ = snapshots.prepare(prepare(CONTAINER, LAYER));
        refused(() -> snapshots.prepare(prepare(CONTAINER, LAYER)));
        look();
        for (String key : List.of(CONTAINER, view, LAYER)) {
            var _ = snapshots.remove(
                    RemoveSnapshotRequest.newBuilder().setKey(key).build());
        }
        var _ = snapshots.cleanup(CleanupRequest.getDefaultInstance());
    }

    private void look() {
        var _ = snapshots.mounts(MountsRequest.newBuilder().setKey(CONTAINER).build());
        for (String key : List.of(CONTAINER, LAYER)) {
            var _ = snapshots.stat(StatSnapshotRequest.newBuilder().setKey(key).build());
            var _ = snapshots.usage(UsageRequest.newBuilder().setKey(key).build());
        }
        var _ = snapshots.update(UpdateSnapshotRequest.newBuilder()
                .setInfo(Info.newBuilder().setName(CONTAINER).putAllLabels(LABELS))
                .build());
        snapshots
                .list(ListSnapshotsRequest.newBuilder()
                        .addFilters("labels.\"training\"==true")
                        .build())
                .forEachRemaining(_ -> {});
    }

    private static PrepareSnapshotRequest prepare(String key, String parent) {
        return PrepareSnapshotRequest.newBuilder()
                .setKey(key)
                .setParent(parent)
                .putAllLabels(LABELS)
                .build();
    }

    private static void refused(Runnable call) {
        try {
            call.run();
        } catch (StatusRuntimeException e) {
            Status.Code code = e.getStatus().getCode();
            if (code == Status.Code.NOT_FOUND || code == Status.Code.ALREADY_EXISTS) {
                return;
            }
            throw e;
        }
        throw new IllegalStateException("what should be refused was done");
    }
}
