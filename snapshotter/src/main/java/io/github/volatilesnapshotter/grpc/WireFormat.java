package io.github.volatilesnapshotter.grpc;

import com.google.protobuf.Timestamp;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Info;
import io.github.volatilesnapshotter.snapshot.Kind;
import io.github.volatilesnapshotter.snapshot.Mount;
import io.github.volatilesnapshotter.snapshot.SnapshotInfo;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/** From the snapshotter's values to containerd's messages. */
final class WireFormat {
    private WireFormat() {}

    static List<io.github.volatilesnapshotter.proto.containerd.types.Mount> mounts(List<Mount> mounts) {
        List<io.github.volatilesnapshotter.proto.containerd.types.Mount> messages = new ArrayList<>(mounts.size());
        for (Mount mount : mounts) {
            messages.add(io.github.volatilesnapshotter.proto.containerd.types.Mount.newBuilder()
                    .setType(mount.type())
                    .setSource(mount.source())
                    .addAllOptions(mount.options())
                    .build());
        }
        return messages;
    }

    static Info info(SnapshotInfo info) {
        return Info.newBuilder()
                .setName(info.name())
                .setParent(info.parent())
                .setKind(kind(info.kind()))
                .setCreatedAt(timestamp(info.createdAt()))
                .setUpdatedAt(timestamp(info.updatedAt()))
                .putAllLabels(info.labels())
                .build();
    }

    private static io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind kind(Kind kind) {
        return switch (kind) {
            case VIEW -> io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.VIEW;
            case ACTIVE -> io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.ACTIVE;
            case COMMITTED -> io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.COMMITTED;
        };
    }

    private static Timestamp timestamp(Instant instant) {
        return Timestamp.newBuilder()
                .setSeconds(instant.getEpochSecond())
                .setNanos(instant.getNano())
                .build();
    }
}
