package io.github.volatilesnapshotter.crash;

import java.util.Locale;

/**
 * A point between two steps that leave different states if the process dies there, named after the step just done. Where a test says
 * so, the process ends there by SIGKILL.
 *
 * <p>Switched on by the system property {@value #PROPERTY} at the start, never by the configuration: its value is a file that a test
 * writes when it wants a crash, with a point's word and a number: the process dies at that passage of the point, counted from when the
 * file was there. When off, a passage is the read of a constant.
 */
public enum CrashPoint {
    /** A new snapshot has its id, and nothing else. */
    ID_GIVEN,
    /** The directory of a new snapshot is there, and empty. */
    DIRECTORY_MADE,
    /** The directories of a new snapshot are all there. */
    DIRECTORIES_MADE,
    /** The witness of a new durable snapshot is open. */
    WITNESS_OPENED,
    /** The overlay of a volatile snapshot is mounted. */
    OVERLAY_MOUNTED,
    /** The record of a new active or view is written; nobody was told. */
    PREPARE_RECORDED,
    /** New labels are written. */
    UPDATE_RECORDED,

    /** A whiteout that hides nothing is gone from what becomes a layer; the time of its directory is not restored. */
    WHITEOUT_REMOVED,
    /** The mark of a layer is there under another name. */
    MARK_DRAFTED,
    /** What becomes a layer is on disk, and so is its mark under another name. */
    LAYER_SYNCED,
    /** The mark of a layer has its name, in memory. */
    MARK_NAMED,
    /** The mark of a layer is on disk. */
    MARK_SYNCED,
    /** The record of a layer is on disk; its overlay is mounted and its work directory there. */
    COMMIT_RECORDED,
    /** The overlay of a layer is detached. */
    LAYER_RELEASED,
    /** The work directory of a layer is in the trash. */
    LAYER_WORK_GONE,

    /** A record is deleted, its mount and directories are there. */
    REMOVE_RECORDED,
    /** A snapshot without a record is detached, its directories are there. */
    DETACHED,
    /** A directory is in the trash. */
    THROWN_AWAY,
    /** A directory of the trash is deleted. */
    TRASH_DELETED,

    /** Snapshots are known to be poisoned, in memory. */
    POISON_KNOWN,
    /** Poison is recorded; nobody was told. */
    POISON_RECORDED,
    /** An unseen writeback error is marked as seen; no sentinel knows of it any more. */
    ERROR_SEEN,
    /** The old sentinel is detached. */
    SENTINEL_DETACHED,
    /** The directories of a new sentinel are there. */
    SENTINEL_DIRECTORIES_MADE,
    /** The new sentinel is mounted. */
    SENTINEL_MOUNTED,

    /** The records are open and nothing is judged. */
    START_OPENED,
    /** The overlays that an earlier daemon left are taken over. */
    START_ADOPTED,
    /** The work directory of an upper that is mounted again is in the trash, or new. */
    WORK_RENEWED,
    /** One active is judged, and resumed if it could be. */
    START_JUDGED,
    /** What the start condemned is recorded. */
    START_POISONED,
    /** One mount without a record is detached. */
    ORPHAN_DETACHED,

    /** A transaction is in the file; the copy in memory does not know. */
    WRITTEN,
    /** A block of ids is reserved on disk. */
    IDS_RESERVED,
    /** The write-ahead log is carried over. */
    LOG_CARRIED_OVER,
    /** A new database is on disk under its first name, with the old one still in place. */
    NEXT_DATABASE_FINISHED,
    /** The log of the old database is gone. */
    OLD_LOG_REMOVED,
    /** The new database is in the place of the old one. */
    DATABASE_REPLACED;

    /** Names the file that says where to die. */
    public static final String PROPERTY = "volatilesnapshotter.crash";

    /** In lower case, as the file has it. */
    public String word() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }

    /** The step is done. Does not return if the process is to die here. */
    public void reached() {
        if (ArmedPoint.FILE != null) {
            ArmedPoint.pass(this);
        }
    }
}
