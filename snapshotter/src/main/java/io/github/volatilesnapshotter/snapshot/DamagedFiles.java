package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.superblock.FailedFiles;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Says whose files were damaged, for {@link io.github.volatilesnapshotter.metadata.Poison#files}: texts for people, to be read and
 * not taken apart. Any thread; asks the records in memory and no disk.
 */
final class DamagedFiles {
    /** More would be no help to anybody, and each is kept in each poisoned snapshot's record. */
    static final int MOST_FILES = 16;

    /** A path may be ten times as long. */
    static final int LONGEST_TEXT = 400;

    private static final Pattern IN_SNAPSHOT = Pattern.compile("/(\\d{1,18})/(fs|work)(/.*)?", Pattern.DOTALL);
    private static final String CUT = "...";

    private final Layout layout;
    private final SnapshotStore store;

    /** @param layout with the root's real path: names come from the kernel, which knows no symbolic links */
    DamagedFiles(Layout layout, SnapshotStore store) {
        this.layout = layout;
        this.store = store;
    }

    /** One text for each, at most {@link #MOST_FILES}, in order, none twice. */
    List<String> describe(List<FailedFiles.Found> found) {
        return found.stream()
                .map(this::describe)
                .map(DamagedFiles::printable)
                .distinct()
                .limit(MOST_FILES)
                .toList();
    }

    private String describe(FailedFiles.Found found) {
        return switch (found) {
            case FailedFiles.Found.At at -> ofPath(at.path());
            case FailedFiles.Found.Deleted deleted ->
                (deleted.lastPath().isEmpty() ? "inode " + deleted.inode() : ofPath(deleted.lastPath())) + " (deleted)";
            case FailedFiles.Found.Unknown unknown -> "inode " + unknown.inode() + " (name not known)";
            case FailedFiles.Found.Metadata _ -> "metadata or journal of the filesystem";
        };
    }

    private String ofPath(String path) {
        String trash = layout.trash() + "/";
        String snapshots = layout.snapshots().toString();
        if (path.startsWith(trash)) {
            return "removed snapshot: " + path.substring(trash.length());
        }
        Matcher inSnapshot = IN_SNAPSHOT.matcher(path.startsWith(snapshots) ? path.substring(snapshots.length()) : "");
        if (inSnapshot.matches()) {
            return ofSnapshot(
                    Long.parseLong(inSnapshot.group(1)),
                    inSnapshot.group(2),
                    Optional.ofNullable(inSnapshot.group(3)).orElse("/"));
        }
        return (path.startsWith(layout.root() + "/") ? "the snapshotter's own file: " : "foreign file: ") + path;
    }

    private String ofSnapshot(long id, String directory, String within) {
        // In work a file waits to be copied up; it has no path in the container yet.
        String file = directory.equals("fs") ? within : "overlayfs' work directory" + within;
        Optional<SnapshotRecord> snapshot = store.find(id);
        if (snapshot.isEmpty()) {
            return "removed snapshot: " + id + "/" + directory + within;
        }
        return switch (snapshot.get().kind()) {
            case ACTIVE -> "snapshot " + snapshot.get().key() + ": " + file;
            case COMMITTED -> "layer " + snapshot.get().key() + ": " + file;
            case VIEW -> "view " + snapshot.get().key() + ": " + file;
        };
    }

    /** Names come from containers, and end in logs and messages. */
    private static String printable(String text) {
        StringBuilder printable = new StringBuilder();
        text.codePoints()
                .map(character -> Character.isISOControl(character) ? '?' : character)
                .limit(LONGEST_TEXT)
                .forEach(printable::appendCodePoint);
        return text.codePointCount(0, text.length()) > LONGEST_TEXT ? printable + CUT : printable.toString();
    }
}
