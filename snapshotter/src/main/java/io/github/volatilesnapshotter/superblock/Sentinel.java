package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.linux.OverlayLayers;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A tiny volatile overlay of our own that says whether its superblock has had a writeback error since the sentinel was mounted.
 * It is attached below the runtime directory, so that it outlives the daemon: what it says after a restart covers the time in
 * which nobody watched.
 *
 * <p>On disk: {@code <pool>/sentinel/{upper,work}}; mounted at {@code <state>/sentinel/<major:minor>}. Not thread-safe:
 * {@link CurrentSentinel} guards it.
 */
final class Sentinel implements AutoCloseable {
    private final VolatileOverlay overlay;

    private Sentinel(VolatileOverlay overlay) {
        this.overlay = overlay;
    }

    /** The sentinel that an earlier daemon left mounted, if it is one and lies on this superblock. */
    static Optional<Sentinel> adopt(Places places, List<MountInfo> mounts) throws SyscallException {
        String upper = places.upper().toString();
        Optional<MountInfo> mounted = mounts.stream()
                .filter(mount -> mount.mountPoint().equals(places.mountPoint().toString()))
                .reduce((lower, upperMost) -> upperMost);
        boolean isOurs = mounted.isPresent()
                && mounted.get().isVolatile()
                && mounted.get().superOptions().stream()
                        // A path over fsconfig's 255 bytes is given, and shown, as a descriptor's.
                        .anyMatch(option ->
                                option.equals("upperdir=" + upper) || option.startsWith("upperdir=/proc/self/fd/"));
        if (!isOurs) {
            return Optional.empty();
        }
        return Optional.of(new Sentinel(VolatileOverlay.at(places.mountPoint())));
    }

    /** Where another sentinel of this pool is mounted, on another superblock than the one that the pool lies on now. */
    static Optional<Path> elsewhere(Path pool, Path stateDirectory) throws SyscallException {
        Path all = stateDirectory.resolve("sentinel");
        if (!Files.isDirectory(all)) {
            return Optional.empty();
        }
        String now = MountInfo.containing(pool).device().toString();
        if (DirectoryTree.names(all).stream().allMatch(name -> name.name().equals(now))) {
            return Optional.empty();
        }
        return MountInfo.below(all).stream()
                .filter(mount -> mount.isVolatile()
                        && !mount.mountPoint().equals(all.resolve(now).toString()))
                .filter(mount -> mount.superOptions()
                        .contains("upperdir=" + pool.resolve("sentinel").resolve("upper")))
                .map(mount -> Path.of(mount.mountPoint()))
                .findFirst();
    }

    /**
     * Wipes what an earlier sentinel left and mounts a new one.
     *
     * @throws SyscallException EIO if the superblock has an unseen writeback error: the kernel refuses volatile mounts then
     */
    static Sentinel create(Places places, OverlayMounter mounter) throws SyscallException {
        remove(places);
        CrashPoint.SENTINEL_DETACHED.reached();
        Entries.mkdir(places.directory(), 0700);
        Entries.mkdir(places.upper(), 0755);
        Entries.mkdir(places.work(), 0755);
        CrashPoint.SENTINEL_DIRECTORIES_MADE.reached();
        mounter.mount(
                new OverlayLayers(List.of(places.lower()), places.upper(), places.work()), true, places.mountPoint());
        CrashPoint.SENTINEL_MOUNTED.reached();
        return new Sentinel(VolatileOverlay.at(places.mountPoint()));
    }

    /** Detaches whatever is mounted at the sentinel's place, and deletes its directories. */
    static void remove(Places places) throws SyscallException {
        for (MountInfo mount : MountInfo.below(places.mountPoint())) {
            if (mount.mountPoint().equals(places.mountPoint().toString())) {
                Mounting.detach(places.mountPoint());
            }
        }
        DirectoryTree.delete(places.directory());
    }

    Optional<Errno> writebackError() {
        return overlay.writebackError();
    }

    @Override
    public void close() {
        overlay.close();
    }

    /**
     * Where a sentinel lies.
     *
     * @param directory on the watched superblock, made by the sentinel
     * @param lower an empty directory
     * @param mountPoint an existing directory below the runtime directory
     */
    record Places(Path directory, Path lower, Path mountPoint) {
        static Places of(Path pool, Path lower, Path stateDirectory, Device device) {
            return new Places(
                    pool.resolve("sentinel"),
                    lower,
                    stateDirectory.resolve("sentinel").resolve(device.toString()));
        }

        Path upper() {
            return directory.resolve("upper");
        }

        Path work() {
            return directory.resolve("work");
        }
    }
}
