package io.github.volatilesnapshotter.crash;

/**
 * One snapshot as it has to be.
 *
 * @param kind of containerd
 * @param isVolatile an active whose key and labels ask for a volatile upper
 * @param parent name, or empty
 * @param mark value of the label {@link Ledger#MARK}, which Update changes
 * @param id number of its directory; {@link Ledger#UNKNOWN_ID} for a view, and where no answer told it
 * @param tree of a committed one, null of others
 */
record Entry(
        io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind kind,
        boolean isVolatile,
        String parent,
        String mark,
        long id,
        Tree tree) {
    Entry withMark(String changed) {
        return new Entry(kind, isVolatile, parent, changed, id, tree);
    }

    Entry withId(long known) {
        return new Entry(kind, isVolatile, parent, mark, known, tree);
    }

    boolean hasDirectory() {
        return kind != io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind.VIEW;
    }
}
