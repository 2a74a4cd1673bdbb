package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * A disk that behaves like a thin-provisioned one whose pool is full.
 *
 * <p>It is a loop device over a sparse file on a tmpfs of its own. While it fails, every write to a block that was
 * free when the failing began ends with ENOSPC in the device (EIO before Linux 6.15); blocks that are in use, and so the
 * journal, go on working. All of that is done by {@code deploy/lib/faulty-disk}, which the shell scripts use as well.
 */
public final class FaultyDisk extends Disk {
    private static Path script;

    private final Path directory;
    private final Path device;
    private final Thread shutdownHook;

    private FaultyDisk(Path directory, FileSystem fileSystem) throws IOException {
        super(fileSystem);
        this.directory = directory;
        this.shutdownHook = new Thread(this::destroyAtShutdown, "remove " + directory);
        Runtime.getRuntime().addShutdownHook(shutdownHook);
        this.device = Path.of(run("create", fileSystem.scriptName()).lines().reduce("", (earlier, last) -> last));
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
        run("fail");
    }

    @Override
    public void heal() throws IOException {
        run("heal");
    }

    @Override
    public void remount() throws IOException {
        run("remount");
    }

    @Override
    public void close() throws IOException {
        destroy();
        Runtime.getRuntime().removeShutdownHook(shutdownHook);
    }

    private String run(String command, String... arguments) throws IOException {
        List<String> commandLine = new ArrayList<>(List.of("bash", script().toString(), command, directory.toString()));
        commandLine.addAll(List.of(arguments));
        return Command.run(commandLine.toArray(String[]::new));
    }

    /** The shell's script is among the classes, for those who have nothing else of this project. */
    private static synchronized Path script() throws IOException {
        if (script == null) {
            Path extracted = Files.createTempFile("faulty-disk-", ".sh");
            // That is after the shutdown hooks, which need it.
            extracted.toFile().deleteOnExit();
            try (InputStream content = FaultyDisk.class.getResourceAsStream("faulty-disk")) {
                Files.copy(Objects.requireNonNull(content), extracted, StandardCopyOption.REPLACE_EXISTING);
            }
            script = extracted;
        }
        return script;
    }

    private void destroy() throws IOException {
        run("destroy");
    }

    private void destroyAtShutdown() {
        try {
            destroy();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
