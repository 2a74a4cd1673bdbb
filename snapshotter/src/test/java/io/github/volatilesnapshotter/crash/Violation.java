package io.github.volatilesnapshotter.crash;

/** One thing that is not as it must be after a crash. */
record Violation(Kind kind, String text) {
    /** What is wrong. */
    enum Kind {
        DAMAGED_LAYER("layers damaged"),
        LOST("acknowledged operations lost"),
        UNEXPLAINED("snapshots that nobody asked for, or that were removed"),
        HALF_DONE("commits done by half"),
        POISONED("snapshots poisoned without a reason"),
        NOT_POISONED("snapshots that are not poisoned any more, or not yet"),
        ALTERED_UPPER("uppers altered by the start"),
        PREPARE_FAILS("new snapshots refused because their id is in use"),
        ID_REUSED("ids used twice"),
        ORPHAN_DIRECTORY("directories without a record"),
        MISSING_DIRECTORY("records without a directory"),
        ORPHAN_MOUNT("mounts without a record"),
        MISSING_MOUNT("volatile snapshots that are not mounted"),
        STRAY_FILE("files left behind in a snapshot's directory"),
        TRASH_LEFT("trash that is not emptied"),
        UNUSABLE("surviving snapshots that can't be used"),
        REFUSED("requests answered as they must not be"),
        NO_START("starts that failed");

        private final String words;

        Kind(String words) {
            this.words = words;
        }

        /** In the plural. */
        String words() {
            return words;
        }
    }

    @Override
    public String toString() {
        return kind + ": " + text;
    }
}
