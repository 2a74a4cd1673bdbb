package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.crash.CrashPoint;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * The file {@code committed} in a layer's directory, which holds the layer's name. It is written under another name before the layer is on
 * disk, and gets its own afterwards: after a journal was aborted {@code syncfs} fails once and then succeeds on a filesystem that writes
 * nothing any more; making a name fails for good.
 *
 * <p>A start that finds it in a directory without a record tells the operator of a lost layer, so none stays with a snapshot that stays
 * active, but where it is not known whether its record as a layer is on disk.
 */
final class CommittedMark {
    private static final System.Logger LOG = System.getLogger(CommittedMark.class.getName());

    private final Path directory;
    private final Path mark;
    private final Path draft;
    private final byte[] content;

    CommittedMark(Layout layout, long id, String name) {
        directory = layout.snapshot(id);
        mark = layout.committedMark(id);
        draft = mark.resolveSibling("committed.new");
        content = (name + "\n").getBytes(StandardCharsets.UTF_8);
    }

    /** Writes it under another name, for a sync of all the filesystem to bring it to disk. */
    void draft() throws SyscallException {
        write(false);
    }

    /**
     * Returns after it is on disk under another name; on ext4 and xfs with it all of the filesystem's log, as the fsync of a file that is
     * made last does.
     */
    void draftOnDisk() throws SyscallException {
        write(true);
    }

    private void write(boolean toDisk) throws SyscallException {
        try (Fd file = Fd.openEmptied(draft)) {
            file.write(content);
            if (toDisk) {
                Sync.fsync(file);
            }
        } catch (SyscallException e) {
            removeDraft(e);
            throw e;
        }
        CrashPoint.MARK_DRAFTED.reached();
    }

    private void removeDraft(SyscallException cause) {
        try {
            Entries.unlink(draft);
        } catch (SyscallException e) {
            if (!e.errno().equals(Errno.ENOENT)) {
                cause.addSuppressed(e);
            }
        }
    }

    /** Gives the draft its name. On disk when this returns. */
    void give() throws SyscallException {
        Entries.rename(draft, mark);
        CrashPoint.MARK_NAMED.reached();
        try (Fd opened = Fd.openDirectory(directory)) {
            Sync.fsync(opened);
        }
        CrashPoint.MARK_SYNCED.reached();
    }

    /** There is no layer. Flushes nothing: a crash may leave the mark. */
    void takeBack() {
        try {
            Entries.unlink(mark);
        } catch (SyscallException e) {
            if (!e.errno().is(Errno.ENOENT)) {
                LOG.log(WARNING, "the mark of a layer that is none could not be removed", "mark", mark, "failure", e);
            }
        }
    }
}
