package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metadata.Backup;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;

/** A backup as it comes to be: written under another name, brought to disk, verified, and only then given its own. */
final class BackupFile {
    /** Fills a file that is there and empty. */
    @FunctionalInterface
    interface Content {
        void writeTo(Path file) throws Exception;
    }

    private final Path file;
    private final boolean mayReplace;

    /** @param mayReplace what is there under this name */
    BackupFile(Path file, boolean mayReplace) {
        this.file = file;
        this.mayReplace = mayReplace;
    }

    /**
     * Whole and on disk under its name when this returns; if it throws, what was there is still there.
     *
     * @return what is in it
     */
    Backup write(Content content) throws Exception {
        refuseToReplace();
        Path unfinished = file.resolveSibling(file.getFileName() + ".unfinished");
        Files.deleteIfExists(unfinished);
        Files.createFile(
                unfinished, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")));
        try {
            content.writeTo(unfinished);
            flush(unfinished);
            Backup backup = Backup.read(unfinished, unfinished);
            rename(unfinished);
            return backup;
        } finally {
            Files.deleteIfExists(unfinished);
        }
    }

    private void refuseToReplace() throws IOException {
        if (!mayReplace && Files.exists(file)) {
            throw new IOException(file + " is there already; give another name, or --replace");
        }
    }

    private void rename(Path unfinished) throws IOException, SyscallException {
        if (mayReplace) {
            Entries.rename(unfinished, file);
        } else {
            try {
                Entries.renameNoReplace(unfinished, file);
            } catch (SyscallException e) {
                if (e.errno().is(Errno.EEXIST)) {
                    refuseToReplace();
                }
                throw e;
            }
        }
        Path directory = file.toAbsolutePath().getParent();
        if (directory != null) {
            flush(directory);
        }
    }

    private static void flush(Path path) throws IOException {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }
}
