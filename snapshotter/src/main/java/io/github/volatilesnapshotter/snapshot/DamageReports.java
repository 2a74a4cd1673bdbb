package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.superblock.DiskCheck;
import io.github.volatilesnapshotter.superblock.FailedFiles;
import io.github.volatilesnapshotter.superblock.FailedWriteback;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Names the files that lost a write, in the log and in the records of the snapshots that were poisoned for it. This is diagnosis: the
 * kernel condemns every volatile overlay on the superblock, whosever file it was.
 *
 * <p>One thread at a time, which may wait for the disk.
 */
final class DamageReports {
    private static final System.Logger LOG = System.getLogger(DamageReports.class.getName());

    private final Layout layout;
    private final Uppers uppers;
    private final FailedFiles failedFiles;
    private final DamagedFiles damagedFiles;
    private final Poisoner poisoner;
    private final SaidLately saidLately = new SaidLately(System::nanoTime);

    DamageReports(Layout layout, Uppers uppers, FailedFiles failedFiles, DamagedFiles damagedFiles, Poisoner poisoner) {
        this.layout = layout;
        this.uppers = uppers;
        this.failedFiles = failedFiles;
        this.damagedFiles = damagedFiles;
        this.poisoner = poisoner;
    }

    void name(List<FailedWriteback> failures) {
        List<Path> searched = Stream.concat(uppers.mounted().stream(), uppers.witnessed().stream())
                .sorted()
                .map(layout::upper)
                .toList();
        String ownCheck = DiskCheck.in(layout.root()).toString();
        List<FailedFiles.Found> found = failedFiles.find(failures, searched, FailedFiles.Bounds.DEFAULT).stream()
                .filter(file ->
                        !(file instanceof FailedFiles.Found.At at && at.path().equals(ownCheck)))
                .toList();
        List<String> files = damagedFiles.describe(found);
        List<String> unsaid = saidLately.fresh(files);
        if (!unsaid.isEmpty()) {
            LOG.log(WARNING, "files that lost a write", "files", unsaid);
        }
        if (!files.isEmpty()) {
            poisoner.nameFiles(files);
        }
    }
}
