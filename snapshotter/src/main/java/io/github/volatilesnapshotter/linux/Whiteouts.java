package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * What an overlay's upper has in the place of a name that it hides: a character device 0:0
 * (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
 *
 * <p>The kernel keeps them out of sight in directories that it merges. In a directory that only one layer has it lists them
 * (fs/overlayfs/readdir.c, ovl_iterate), as names that nobody can stat; and in the lowest layer's own directory, which a view
 * shows, they are plain devices. An applier that does not know the layers below, as when containerd unpacks layers side by
 * side, writes both kinds.
 */
public final class Whiteouts {
    private static final String OPAQUE = "trusted.overlay.opaque";
    private static final String NOT_UTF_8 = "\uFFFD";

    private Whiteouts() {}

    /**
     * Removes the whiteouts that can't hide anything: those in directories that this upper does not share with a layer below, and
     * with no layer below all. The times of modification stay, also if an earlier call was killed on the way: before the first whiteout of
     * a directory is removed its time is noted in a file, which is gone when this returns. Nothing is durable before a sync; about 1 us for
     * each entry in the cache. The upper must not be in use, from the first call to the last: what was changed in between would get the
     * time from before.
     *
     * @param lower the layers below, uppermost first
     * @param note path of that file, outside of the upper; written only where a whiteout is removed
     * @param removed run after each whiteout that was removed
     * @return how many were removed
     * @throws SyscallException also if a time could not be restored: it is part of the image
     */
    public static int removeIdle(Path upper, List<Path> lower, Path note, Runnable removed) throws SyscallException {
        try (Fd directory =
                        SystemCalls.open(upper, OpenFlags.READ_ONLY | OpenFlags.DIRECTORY | OpenFlags.NO_FOLLOW, 0);
                DirectoryTimes times = DirectoryTimes.notedIn(note, pathOf(directory))) {
            times.restore();
            Removal removal = new Removal(pathOf(directory).toText(), lower, times, removed);
            try {
                TreeWalk.walk(directory, removal);
            } catch (SyscallException e) {
                try {
                    times.restore();
                } catch (SyscallException second) {
                    e.addSuppressed(second);
                }
                throw e;
            }
            times.restore();
            return removal.count;
        }
    }

    private static CString pathOf(Fd directory) throws SyscallException {
        return SystemCalls.readlink(Path.of("/proc/self/fd/" + directory.number()));
    }

    private static final class Removal implements TreeWalk.Visitor {
        /** DT_CHR of readdir(3). */
        private static final byte CHARACTER_DEVICE = 2;

        /** For people, as the kernel names it. */
        private final String root;

        private final List<Path> lower;
        private final DirectoryTimes times;
        private final Runnable removed;
        /** Directories that had whiteouts, and whether the kernel merges them. */
        private final Map<CString, Boolean> merged = new HashMap<>();

        private int count;

        Removal(String root, List<Path> lower, DirectoryTimes times, Runnable removed) {
            this.root = root;
            this.lower = lower;
            this.times = times;
            this.removed = removed;
        }

        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            if (entry.type() == CHARACTER_DEVICE
                    && SystemCalls.statx(directory, entry.name()).isWhiteout()) {
                CString path = pathOf(directory);
                if (!isMerged(path)) {
                    times.note(path, directory);
                    SystemCalls.unlinkat(directory, entry.name(), 0);
                    count++;
                    removed.run();
                }
            }
            return entry.isSurelyDirectory();
        }

        private boolean isMerged(CString directory) throws SyscallException {
            Boolean known = merged.get(directory);
            if (known == null) {
                known = !lower.isEmpty() && isMergedWithLower(directory.toText().substring(root.length()));
                merged.put(directory, known);
            }
            return known;
        }

        /** As fs/overlayfs/namei.c, ovl_lookup, goes down from the root: an opaque directory, or none, ends a layer's part. */
        private boolean isMergedWithLower(String relative) throws SyscallException {
            if (relative.contains(NOT_UTF_8)) {
                // It can't be looked up by its text. A whiteout that stays is less harm than a file that shows again.
                return true;
            }
            List<Path> layers = lower;
            String prefix = "";
            for (String name :
                    relative.isEmpty() ? new String[0] : relative.substring(1).split("/")) {
                prefix = prefix + "/" + name;
                if (isOpaque(Path.of(root + prefix))) {
                    return false;
                }
                layers = layersWith(layers, prefix);
            }
            return !layers.isEmpty();
        }

        /** Those of the layers whose directory of this path is a part of the merged one. */
        private static List<Path> layersWith(List<Path> layers, String prefix) throws SyscallException {
            List<Path> parts = new ArrayList<>();
            for (Path layer : layers) {
                Path path = Path.of(layer + prefix);
                if (Entries.exists(path)) {
                    if (!Stat.of(path).isDirectory()) {
                        break;
                    }
                    parts.add(layer);
                    if (isOpaque(path)) {
                        break;
                    }
                }
            }
            return parts;
        }

        private static boolean isOpaque(Path directory) throws SyscallException {
            byte[] value = Xattr.get(directory, OPAQUE);
            return value != null && value.length == 1 && value[0] == 'y';
        }

        @Override
        public void otherMount(CString name) {
            // Is no part of the upper.
        }

        @Override
        public void leave(Fd parent, CString name) {
            // Was looked at when it was visited.
        }
    }
}
