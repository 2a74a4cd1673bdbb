package io.github.volatilesnapshotter.snapshot;

import java.util.Locale;

/** Why the content of a snapshot can't be trusted. The word is what labels, messages and metrics show. */
enum PoisonReason {
    /** The kernel reported a failed writeback on the upper superblock since the snapshot began. */
    WRITEBACK_ERROR,
    /** The filesystem was shut down or has aborted its journal: what it had not written is lost, and nobody is told of it. */
    FILE_SYSTEM_GONE,
    /** The upper was made under another boot id: what a volatile overlay had not written is lost. */
    CRASH,
    /** Nothing watched the superblock all the time since the snapshot began. */
    UNVERIFIABLE,
    /** The record is there, the directory is not. */
    MISSING;

    String word() {
        return name().toLowerCase(Locale.ROOT).replace('_', '-');
    }
}
