package io.github.volatilesnapshotter.snapshot;

import java.nio.file.Path;

/** Copies all records into a file. */
@FunctionalInterface
public interface RecordsCopy {
    /**
     * Makes the copy; one at a time.
     *
     * @return a file that is the caller's to delete
     */
    Path make() throws SnapshotException;
}
