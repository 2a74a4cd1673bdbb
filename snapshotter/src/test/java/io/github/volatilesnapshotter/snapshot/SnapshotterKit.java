package io.github.volatilesnapshotter.snapshot;

import java.nio.file.Path;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A running snapshotter on an empty directory, for each test of those that extend this. */
abstract class SnapshotterKit {
    @TempDir
    Path directory;

    @AutoClose
    RunningSnapshotterFixture fixture;

    @BeforeEach
    final void startSnapshotter() throws Exception {
        fixture = new RunningSnapshotterFixture(directory);
    }
}
