package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.FileHandles;
import io.github.volatilesnapshotter.linux.InodeName;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.stream.Collectors;

/**
 * Names the files whose writeback failed, for people: the kernel condemns every volatile overlay on the superblock whichever file
 * it was, and a file that lay beside it in the same write is named as well.
 *
 * <p>First by handle, some microseconds for each that is in memory. Then, for those of which the kernel has no name, one search
 * through directories, bounded in entries and time. Both read from the disk what is not cached, and so wait as long as a disk that
 * hangs: not for a thread that others wait for.
 */
public final class FailedFiles {
    /** Inodes that are looked at in one call; more are left out. */
    public static final int MOST_FILES = 16;

    /** The first inode that btrfs gives to files; below are its own trees. */
    private static final long BTRFS_FIRST_FREE_OBJECTID = 256;

    private final Path directory;
    private final String fsType;

    /**
     * Of the superblock that a directory lies on.
     *
     * @param directory where names begin to be seen; on btrfs, of the subvolume in which the files are meant
     * @param mount that the directory lies on
     */
    public FailedFiles(Path directory, MountInfo mount) {
        this.directory = directory;
        this.fsType = mount.fsType();
    }

    /** One file, as far as it could be found. Texts are for people: bytes that are not UTF-8 are shown as U+FFFD. */
    public sealed interface Found {
        /** {@link FailedWriteback#NO_INODE} for metadata of the block device itself. */
        long inode();

        /** The file is there. */
        record At(long inode, String path) implements Found {}

        /**
         * The file has no name any more.
         *
         * @param lastPath empty if not known
         */
        record Deleted(long inode, String lastPath) implements Found {}

        /** No name could be found. */
        record Unknown(long inode) implements Found {}

        /** No file's content, but the filesystem's own metadata or journal. */
        record Metadata(long inode) implements Found {}
    }

    /**
     * How far the search through directories goes at most, all directories together.
     *
     * @param entries names that are looked at; about a microsecond each while they are cached
     * @param timeMillis looked at between entries, so that a read that hangs is not ended by it
     */
    public record Bounds(int entries, long timeMillis) {
        /** A second at most, and what is in a few container images. */
        public static final Bounds DEFAULT = new Bounds(500_000, 1_000);
    }

    /**
     * Names them, in order, each inode once, at most {@link #MOST_FILES}. Fails for none: what goes wrong leaves a file unknown.
     *
     * @param directories searched for what the kernel has no name for, in order: the uppers
     */
    public List<Found> find(Collection<FailedWriteback> failures, List<Path> directories, Bounds bounds) {
        Set<Long> inodes = failures.stream()
                .map(FailedWriteback::inode)
                .distinct()
                .limit(MOST_FILES)
                .collect(Collectors.toCollection(LinkedHashSet::new));
        Map<Long, Found> found = new LinkedHashMap<>();
        byHandle(inodes, found);
        Set<Long> unknown = inodes.stream()
                .filter(inode -> found.get(inode) instanceof Found.Unknown)
                .collect(Collectors.toCollection(HashSet::new));
        bySearch(unknown, directories, bounds, found);
        return new ArrayList<>(found.values());
    }

    private void byHandle(Set<Long> inodes, Map<Long, Found> found) {
        inodes.forEach(
                inode -> found.put(inode, isMetadata(inode) ? new Found.Metadata(inode) : new Found.Unknown(inode)));
        try (Fd anyFile = Fd.openDirectory(directory)) {
            for (long inode : inodes) {
                if (!isMetadata(inode)) {
                    found.put(inode, byHandle(anyFile, inode));
                }
            }
        } catch (SyscallException _) {
            // The directory can't be opened: there is still the search.
        }
    }

    private boolean isMetadata(long inode) {
        return inode == FailedWriteback.NO_INODE || (fsType.equals("btrfs") && inode < BTRFS_FIRST_FREE_OBJECTID);
    }

    private Found byHandle(Fd anyFile, long inode) {
        try {
            return switch (FileHandles.nameOf(anyFile, fsType, inode)) {
                case InodeName.Known known -> new Found.At(inode, known.path());
                case InodeName.Deleted deleted -> new Found.Deleted(inode, deleted.lastPath());
                case InodeName.Unknown _ -> new Found.Unknown(inode);
            };
        } catch (SyscallException _) {
            // An inode that can't be read, or a filesystem that was shut down.
            return new Found.Unknown(inode);
        }
    }

    private static void bySearch(Set<Long> unknown, List<Path> directories, Bounds bounds, Map<Long, Found> found) {
        Budget budget = new Budget(bounds);
        for (Path root : directories) {
            if (unknown.isEmpty() || budget.isSpent) {
                return;
            }
            try {
                DirectoryTree.find(root, unknown, budget).forEach((inode, path) -> {
                    found.put(inode, new Found.At(inode, path));
                    unknown.remove(inode);
                });
            } catch (SyscallException _) {
                // Removed meanwhile, or unreadable: the others are still to be looked at.
            }
        }
    }

    /** What is left to spend. */
    private static final class Budget implements BooleanSupplier {
        private static final long NANOS_IN_MILLISECOND = 1_000_000;

        private final long startNanos = System.nanoTime();
        private final Bounds bounds;
        private int entries;
        private boolean isSpent;

        Budget(Bounds bounds) {
            this.bounds = bounds;
        }

        @Override
        public boolean getAsBoolean() {
            isSpent = isSpent
                    || ++entries > bounds.entries()
                    || System.nanoTime() - startNanos > bounds.timeMillis() * NANOS_IN_MILLISECOND;
            return isSpent;
        }
    }
}
