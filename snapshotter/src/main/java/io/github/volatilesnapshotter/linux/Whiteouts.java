package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
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
     * with no layer below all. The times of modification stay. Nothing is durable before a sync; about 1 us for each entry
     * in the cache. The upper must not be in use.
     *
     * @param lower the layers below, uppermost first
     * @return how many were removed
     */
    public static int removeIdle(Path upper, List<Path> lower) throws SyscallException {
        try (Fd directory =
                SystemCalls.open(upper, OpenFlags.READ_ONLY | OpenFlags.DIRECTORY | OpenFlags.NO_FOLLOW, 0)) {
            Removal removal = new Removal(pathOf(directory), lower);
            try {
                TreeWalk.walk(directory, removal);
            } finally {
                removal.restoreTimes();
            }
            return removal.removed;
        }
    }

    /** As the kernel names it: lossless for people only. */
    private static String pathOf(Fd directory) throws SyscallException {
        return SystemCalls.readlink(Path.of("/proc/self/fd/" + directory.number()))
                .toText();
    }

    private static final class Removal implements TreeWalk.Visitor {
        /** DT_CHR of readdir(3). */
        private static final byte CHARACTER_DEVICE = 2;

        private final String root;
        private final List<Path> lower;
        /** Directories that had whiteouts, and whether the kernel merges them. */
        private final Map<String, Boolean> merged = new HashMap<>();

        private final Map<Path, FileTime> times = new HashMap<>();
        private int removed;

        Removal(String root, List<Path> lower) {
            this.root = root;
            this.lower = lower;
        }

        @Override
        public boolean visit(Fd directory, TreeWalk.Entry entry) throws SyscallException {
            if (entry.type() == CHARACTER_DEVICE
                    && SystemCalls.statx(directory, entry.name()).isWhiteout()) {
                String path = pathOf(directory);
                if (!isMerged(path)) {
                    rememberTime(path);
                    SystemCalls.unlinkat(directory, entry.name(), 0);
                    removed++;
                }
            }
            return entry.isSurelyDirectory();
        }

        private boolean isMerged(String directory) throws SyscallException {
            Boolean known = merged.get(directory);
            if (known == null) {
                known = !lower.isEmpty() && isMergedWithLower(directory.substring(root.length()));
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

        /** A directory's time is part of the image. What can't be read or set again, such as a path too long, is left as it is. */
        private void rememberTime(String directory) {
            Path path = Path.of(directory);
            if (directory.contains(NOT_UTF_8) || times.containsKey(path)) {
                return;
            }
            try {
                times.put(path, Files.getLastModifiedTime(path));
            } catch (IOException _) {
                // The whiteout matters more than the time.
            }
        }

        void restoreTimes() {
            times.forEach((path, time) -> {
                try {
                    Files.setLastModifiedTime(path, time);
                } catch (IOException _) {
                    // As above.
                }
            });
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
