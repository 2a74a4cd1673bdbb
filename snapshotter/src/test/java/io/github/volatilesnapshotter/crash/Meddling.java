package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.MountInfo;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.Stream;

/**
 * What an operator has done to the mounts of a snapshotter while it did not run. What must become of its actives by that is in
 * docs/architecture.md, "Starting again": what was watched all the time is mounted again, the rest is poisoned.
 *
 * @param unmounted numbers of the actives whose overlay is not mounted any more
 * @param isUnwatched whether the sentinel is gone too
 */
record Meddling(Set<Long> unmounted, boolean isUnwatched) {
    static final Meddling NONE = new Meddling(Set.of(), false);

    /** Unmounts some overlays, at least one if there is one. */
    static Meddling unmountSome(Peer peer, Random random) throws IOException {
        List<Path> mounted = new ArrayList<>(mountsBelow(peer.snapshots()).stream()
                .filter(mountPoint -> mountPoint.endsWith("merged"))
                .toList());
        Collections.shuffle(mounted, random);
        Set<Long> unmounted = new HashSet<>();
        for (Path merged : mounted.subList(0, mounted.isEmpty() ? 0 : 1 + random.nextInt(mounted.size()))) {
            unmount(merged);
            unmounted.add(Long.parseLong(merged.getParent().getFileName().toString()));
        }
        return new Meddling(unmounted, false);
    }

    /** The same, and the sentinel. */
    static Meddling unmountSomeAndTheSentinel(Peer peer, Random random) throws IOException {
        for (Path mountPoint : mountsBelow(peer.state().resolve("sentinel"))) {
            unmount(mountPoint);
        }
        return new Meddling(unmountSome(peer, random).unmounted(), true);
    }

    /** Mounts something on the directory of a snapshot, which the next start takes away again. */
    static Meddling cover(Peer peer, Random random) throws IOException {
        try (Stream<Path> entries = Files.list(peer.snapshots())) {
            List<Path> directories = entries.sorted().toList();
            if (!directories.isEmpty()) {
                Path covered = directories.get(random.nextInt(directories.size()));
                Command.run("mount", "--bind", peer.root().resolve("empty").toString(), covered.toString());
            }
        }
        return NONE;
    }

    private static List<Path> mountsBelow(Path directory) throws IOException {
        return MountInfo.all().stream()
                .map(mount -> Path.of(mount.mountPoint()))
                .filter(mountPoint -> mountPoint.startsWith(directory))
                .toList();
    }

    private static void unmount(Path mountPoint) throws IOException {
        Command.run("umount", "--lazy", "--no-canonicalize", mountPoint.toString());
    }

    /** Whether nobody has watched this active all the time, so that it must be poisoned. */
    boolean mustPoison(Entry active) {
        return isUnwatched && (!active.isVolatile() || unmounted.contains(active.id()));
    }

    /** The same of one of which it is not known where it lies, and so not whether it must. */
    boolean mayPoison(Entry active) {
        return mustPoison(active) || (isUnwatched && active.id() == Ledger.UNKNOWN_ID);
    }
}
