package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A disk that behaves like a thin-provisioned one whose pool is full.
 *
 * <p>It is a loop device over a sparse file on a tmpfs of its own. While it fails, every write to a block that was
 * free when the failing began ends with ENOSPC in the device (EIO before Linux 6.15); blocks that are in use, and so the
 * journal, go on working. All of that is done by {@code deploy/lib/faulty-disk}, which the shell scripts use as well.
 */
public final class FaultyDisk extends Disk {
    private static final String SCRIPT = Path.of(System.getProperty("project.root"), "deploy", "lib", "faulty-disk")
            .toString();

    private final Path directory;
    private final Path device;
    private final Thread shutdownHook;

    private FaultyDisk(Path directory, FileSystem fileSystem) throws IOException {
        super(fileSystem);
        this.directory = directory;
        this.shutdownHook = new Thread(this::destroyAtShutdown, "remove " + directory);
        Runtime.getRuntime().addShutdownHook(shutdownHook);
        this.device = Path.of(Command.run(SCRIPT, "create", directory.toString(), fileSystem.scriptName())
                .lines()
                .reduce("", (earlier, last) -> last));
    }

    /** Makes a disk of 1 GiB, which takes memory only for what is written to it, and mounts its new file system. */
    public static FaultyDisk create(FileSystem fileSystem) throws IOException {
        return new FaultyDisk(Files.createTempDirectory("faulty-disk-").toRealPath(), fileSystem);
    }

    @Override
    public Path root() {
        return directory.resolve("mnt");
    }

    @Override
    public Path device() {
        return device;
    }

    @Override
    public void startFailing() throws IOException {
        Command.run(SCRIPT, "fail", directory.toString());
    }

    @Override
    public void heal() throws IOException {
        Command.run(SCRIPT, "heal", directory.toString());
    }

    @Override
    public void remount() throws IOException {
        Command.run(SCRIPT, "remount", directory.toString());
    }

    @Override
    public void close() throws IOException {
        destroy();
        Runtime.getRuntime().removeShutdownHook(shutdownHook);
    }

    private void destroy() throws IOException {
        Command.run(SCRIPT, "destroy", directory.toString());
    }

    private void destroyAtShutdown() {
        try {
            destroy();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
