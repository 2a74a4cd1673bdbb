package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A mounted file system on a disk whose writes can be made to fail.
 *
 * <p>The disk is a loop device over a sparse file on a tmpfs of its own. While it fails, every write to a block that was
 * free when the failing began ends with ENOSPC in the device (EIO before Linux 6.15); blocks that are in use, and so the
 * journal, go on working. All of that is done by {@code deploy/lib/faulty-disk}, which the shell scripts use as well.
 *
 * <p>Needs root. Closing removes everything, also mounts that a test left on the disk; so does the end of the virtual
 * machine. One thread at a time.
 */
public final class FaultyDisk implements AutoCloseable {
    private static final String SCRIPT = Path.of(System.getProperty("project.root"), "deploy", "lib", "faulty-disk")
            .toString();
    private static final Pattern COUNTERS = Pattern.compile("sectors_written=(\\d+) flushes=(\\d+)");

    private final Path directory;
    private final FileSystem fileSystem;
    private final Path device;
    private String number;
    private final Thread shutdownHook;

    /** What a disk can be formatted with. */
    public enum FileSystem {
        EXT4("ext4", "ext4"),
        EXT4_WITHOUT_JOURNAL("ext4-nojournal", "ext4"),
        XFS("xfs", "xfs"),
        BTRFS("btrfs", "btrfs");

        private final String scriptName;
        private final String kernelName;

        FileSystem(String scriptName, String kernelName) {
            this.scriptName = scriptName;
            this.kernelName = kernelName;
        }

        /** The type as {@code /proc/self/mountinfo} has it. */
        public String kernelName() {
            return kernelName;
        }
    }

    /**
     * What has reached the device since the machine started, for any disk that was on it: only differences mean something.
     *
     * @param bytesWritten written data, in bytes
     * @param flushes requests to empty the device's write cache
     */
    public record Counters(long bytesWritten, long flushes) {
        private static final int SECTOR_BYTES = 512;

        /** What was added after an earlier reading. */
        public Counters since(Counters earlier) {
            return new Counters(bytesWritten - earlier.bytesWritten, flushes - earlier.flushes);
        }
    }

    private FaultyDisk(Path directory, FileSystem fileSystem) throws IOException {
        this.directory = directory;
        this.fileSystem = fileSystem;
        this.shutdownHook = new Thread(this::destroyAtShutdown, "remove " + directory);
        Runtime.getRuntime().addShutdownHook(shutdownHook);
        this.device = Path.of(Command.run(SCRIPT, "create", directory.toString(), fileSystem.scriptName)
                .lines()
                .reduce("", (earlier, last) -> last));
        this.number = MountInfo.of(root()).number();
    }

    /** Makes a disk of 1 GiB, which takes memory only for what is written to it, and mounts its new file system. */
    public static FaultyDisk create(FileSystem fileSystem) throws IOException {
        return new FaultyDisk(Files.createTempDirectory("faulty-disk-").toRealPath(), fileSystem);
    }

    /** The root directory of the file system. */
    public Path root() {
        return directory.resolve("mnt");
    }

    public FileSystem fileSystem() {
        return fileSystem;
    }

    /** The loop device, such as {@code /dev/loop0}. */
    public Path device() {
        return device;
    }

    /**
     * The number of the superblock as in {@code /proc/self/mountinfo}, {@code major:minor}. On btrfs this is neither that of
     * the loop device nor what stat says.
     */
    public String number() {
        return number;
    }

    /**
     * Makes writes to free blocks fail. What is dirty is written back before. An error of an earlier time stays as seen or
     * unseen as it is.
     */
    public void startFailing() throws IOException {
        Command.run(SCRIPT, "fail", directory.toString());
    }

    /** Lets all writes succeed again. What failed stays lost, and what the superblock says about it stays. */
    public void heal() throws IOException {
        Command.run(SCRIPT, "heal", directory.toString());
    }

    /** Writes random bytes to a new file and leaves them dirty. */
    public static void writeDirty(Path file, int bytes) throws IOException {
        byte[] content = new byte[bytes];
        // Zeros might be stored as a hole by whatever lies between.
        new Random(bytes).nextBytes(content);
        Files.write(file, content, StandardOpenOption.CREATE_NEW);
    }

    /**
     * Writes back a file, or a directory, by fsync. On the file system itself, below any volatile overlay, this does not mark
     * an error of the superblock as seen.
     *
     * @throws IOException with the kernel's reason
     */
    public static void fsync(Path path) throws IOException {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            channel.force(true);
        }
    }

    /**
     * Writes back everything that is dirty on the disk.
     *
     * @throws IOException if that fails, or if the superblock has an error that nobody has seen; it is seen now
     */
    public void syncfs() throws IOException {
        Command.run("sync", "--file-system", root().toString());
    }

    /** Makes the kernel forget clean pages of all file systems, so that reading shows what is on disk. */
    public void dropCaches() throws IOException {
        Files.writeString(Path.of("/proc/sys/vm/drop_caches"), "3");
    }

    /** Unmounts and mounts again: what is read then comes from the device. On btrfs {@link #number} changes. Nothing may be open. */
    public void remount() throws IOException {
        Command.run(SCRIPT, "remount", directory.toString());
        number = MountInfo.of(root()).number();
    }

    /** What has reached the device so far. */
    public Counters counters() throws IOException {
        String output = Command.run(SCRIPT, "counters", directory.toString());
        Matcher counters = COUNTERS.matcher(output);
        if (!counters.matches()) {
            throw new IOException("not counters: " + output);
        }
        return new Counters(
                Long.parseLong(counters.group(1)) * Counters.SECTOR_BYTES, Long.parseLong(counters.group(2)));
    }

    /**
     * Unmounts everything that is on the disk, and removes the disk. May be repeated.
     *
     * @throws IOException if somebody still used the disk after 20 s: it is out of sight, and goes with its last user
     */
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
