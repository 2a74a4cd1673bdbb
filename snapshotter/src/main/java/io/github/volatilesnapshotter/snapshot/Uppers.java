package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.linux.OverlayLayers;
import io.github.volatilesnapshotter.linux.Stat;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import io.github.volatilesnapshotter.superblock.Witness;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * The directories of active snapshots, and what is held open for them: the overlay of each volatile one, the witness of each
 * durable one. May be called from any thread; two calls for one id must not meet (see {@link KeyLocks}).
 */
class Uppers implements AutoCloseable {
    private static final int PERMISSIONS = 07777;

    private final Layout layout;
    private final WatchedSuperblock superblock;
    private final Trash trash;
    private final Map<Long, VolatileOverlay> overlays = new ConcurrentHashMap<>();
    private final Map<Long, Witness> witnesses = new ConcurrentHashMap<>();
    private volatile Runnable durableListener = () -> {};

    Uppers(Layout layout, WatchedSuperblock superblock, Trash trash) {
        this.layout = layout;
        this.superblock = superblock;
        this.trash = trash;
    }

    /** Who is told of each new durable snapshot. */
    void onDurable(Runnable told) {
        durableListener = told;
    }

    /** Descriptors that are held: one for each overlay. */
    int overlays() {
        return overlays.size();
    }

    /** Descriptors that are held: one for each witness. */
    int witnesses() {
        return witnesses.size();
    }

    /** Directories and witness of a durable snapshot. */
    void createDurable(long id, List<Path> lower) throws SyscallException, SuperblockUnavailableException {
        createDirectories(id, lower);
        CrashPoint.DIRECTORIES_MADE.reached();
        witnesses.put(id, superblock.openWitness());
        CrashPoint.WITNESS_OPENED.reached();
        durableListener.run();
    }

    /** Directories and mounted overlay of a volatile snapshot. */
    void createVolatile(long id, List<Path> lower) throws SyscallException, SuperblockUnavailableException {
        createDirectories(id, lower);
        Entries.mkdir(layout.merged(id), 0700);
        CrashPoint.DIRECTORIES_MADE.reached();
        mount(id, lower);
    }

    /**
     * Mounts a volatile upper that is there, for the second time in its life. The work directory is made anew: it holds the mark
     * by which the kernel refuses the upper of a volatile overlay.
     *
     * @return false if there was a writeback error since the superblock's past was asked
     */
    boolean remount(long id, List<Path> lower) throws SyscallException {
        trash.throwAway(layout.work(id));
        CrashPoint.WORK_RENEWED.reached();
        Entries.mkdir(layout.work(id), 0711);
        CrashPoint.WORK_RENEWED.reached();
        makeMountPoint(id);
        OverlayLayers layers = new OverlayLayers(lower, layout.upper(id), layout.work(id));
        Optional<VolatileOverlay> overlay = superblock.resumeVolatile(layers, layout.merged(id));
        overlay.ifPresent(mounted -> overlays.put(id, mounted));
        CrashPoint.OVERLAY_MOUNTED.reached();
        return overlay.isPresent();
    }

    /** Puts the overlay of {@code id}, which is mounted elsewhere only, back in its place; it is the same one, with its memory. */
    void reattach(long id, Path elsewhere) throws SyscallException {
        makeMountPoint(id);
        Mounting.bind(elsewhere, layout.merged(id), false);
        adopt(id);
    }

    private void makeMountPoint(long id) throws SyscallException {
        if (!Entries.exists(layout.merged(id))) {
            Entries.mkdir(layout.merged(id), 0700);
        }
    }

    private void mount(long id, List<Path> lower) throws SyscallException, SuperblockUnavailableException {
        OverlayLayers layers = new OverlayLayers(lower, layout.upper(id), layout.work(id));
        overlays.put(id, superblock.mountVolatile(layers, layout.merged(id)));
        CrashPoint.OVERLAY_MOUNTED.reached();
    }

    /** Takes over the overlay of {@code id} that an earlier daemon left mounted. */
    void adopt(long id) throws SyscallException {
        overlays.put(id, VolatileOverlay.at(layout.merged(id)));
    }

    /**
     * A witness for a durable snapshot that has none, because another daemon prepared it.
     *
     * @return false if there was a writeback error since the superblock's past was asked
     */
    boolean watchDurable(long id) throws SyscallException {
        Optional<Witness> witness = superblock.resumeWitness();
        witness.ifPresent(opened -> {
            witnesses.put(id, opened);
            durableListener.run();
        });
        return witness.isPresent();
    }

    /** The upper's root directory is what a container sees as its root: it looks like that of the uppermost layer. */
    private void createDirectories(long id, List<Path> lower) throws SyscallException {
        Stat above = Stat.of(lower.getFirst());
        Entries.mkdir(layout.snapshot(id), 0711);
        CrashPoint.DIRECTORY_MADE.reached();
        Entries.mkdir(layout.upper(id), above.mode() & PERMISSIONS);
        if (above.uid() != 0 || above.gid() != 0) {
            Entries.chown(layout.upper(id), above.uid(), above.gid());
            // chown drops setuid and setgid bits.
            Entries.chmod(layout.upper(id), above.mode() & PERMISSIONS);
        }
        Entries.mkdir(layout.work(id), 0711);
    }

    Optional<VolatileOverlay> overlay(long id) {
        return Optional.ofNullable(overlays.get(id));
    }

    Optional<Witness> witness(long id) {
        return Optional.ofNullable(witnesses.get(id));
    }

    /** What the kernel says of the volatile overlay of {@code id}; nothing if there is none. */
    Optional<Errno> writebackError(long id) {
        return overlay(id).flatMap(VolatileOverlay::writebackError);
    }

    /** Ids of the volatile snapshots that are mounted. */
    List<Long> mounted() {
        return List.copyOf(overlays.keySet());
    }

    /** Whether a volatile snapshot other than {@code id} is mounted. */
    boolean isMountedBeside(long id) {
        return overlays.size() > (overlays.containsKey(id) ? 1 : 0);
    }

    /** Whether the superblock has had an error since the witness of {@code id} was opened, as far as that was noticed. */
    boolean hasWitnessedEpoch(long id) {
        return witness(id)
                .map(witness -> witness.epochs() != superblock.epochs())
                .orElse(false);
    }

    /** What the latest error of the superblock was. */
    Errno latestError() {
        return superblock.latestError();
    }

    /** Ids of the durable snapshots. */
    List<Long> witnessed() {
        return List.copyOf(witnesses.keySet());
    }

    /** Closes and detaches whatever is held for {@code id}; the directories stay. */
    void release(long id) throws SyscallException {
        Witness witness = witnesses.remove(id);
        if (witness != null) {
            witness.close();
        }
        VolatileOverlay overlay = overlays.remove(id);
        if (overlay != null) {
            overlay.detach();
        }
    }

    /**
     * Releases {@code id} and takes its directories out of sight, sooner or later. Flushes nothing, and does not wait for a deletion.
     *
     * @throws SyscallException if its overlay could not be detached: that is done again before the directories are deleted
     */
    void throwAway(long id) throws SyscallException {
        try {
            release(id);
        } finally {
            CrashPoint.DETACHED.reached();
            boolean _ = trash.throwAwaySoonerOrLater(layout.snapshot(id));
        }
    }

    /**
     * Releases {@code id}, whose upper is a layer now, and takes out of sight, sooner or later, what a layer does not need.
     *
     * @throws SyscallException if its overlay could not be detached: that is done again before the directories are moved
     */
    void becomeLayer(long id) throws SyscallException {
        try {
            release(id);
        } finally {
            CrashPoint.LAYER_RELEASED.reached();
            boolean _ = trash.throwAwaySoonerOrLater(layout.work(id));
            CrashPoint.LAYER_WORK_GONE.reached();
            boolean _ = trash.throwAwaySoonerOrLater(layout.merged(id));
        }
    }

    /** Closes every descriptor and leaves every mount: containers run on them. */
    @Override
    public void close() {
        witnesses.values().forEach(Witness::close);
        overlays.values().forEach(VolatileOverlay::close);
    }
}
