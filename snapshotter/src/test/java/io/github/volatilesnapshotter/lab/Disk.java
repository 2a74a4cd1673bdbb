package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * A mounted file system on a disk that fails on command.
 *
 * <p>Needs root. Closing removes everything, also mounts that a test left on the disk; so does the end of the virtual
 * machine. One thread at a time.
 */
public abstract sealed class Disk implements AutoCloseable permits FaultyDisk, FuseDisk {
    /** How large a disk is. It takes memory only for what is written to it, and three quarters of its size at most. */
    static final long BYTES = 1L << 30;

    static final int SECTOR_BYTES = 512;

    private static final int LEAST_FILLER_BYTES = 4096;

    // Fields of the kernel's Documentation/block/stat.rst.
    private static final int SECTORS_WRITTEN = 6;
    private static final int FLUSHES = 15;

    // 16 bytes that nobody else begins a sector with.
    private static final byte[] DATA_MARKER = "lab data \0\1\2\3\4\5\6".getBytes(StandardCharsets.US_ASCII);

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

        /** The type as {@code deploy/lib/faulty-disk} has it. */
        String scriptName() {
            return scriptName;
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
        /** What was added after an earlier reading. */
        public Counters since(Counters earlier) {
            return new Counters(bytesWritten - earlier.bytesWritten, flushes - earlier.flushes);
        }
    }

    private final FileSystem fileSystem;

    Disk(FileSystem fileSystem) {
        this.fileSystem = fileSystem;
    }

    /** The root directory of the file system. */
    public abstract Path root();

    public final FileSystem fileSystem() {
        return fileSystem;
    }

    /** The loop device, such as {@code /dev/loop0}. */
    public abstract Path device();

    /**
     * The number of the superblock as in {@code /proc/self/mountinfo}, {@code major:minor}. On btrfs this is neither that of
     * the loop device nor what stat says. It may change with {@link #remount}.
     */
    public final String number() {
        try {
            return MountInfo.of(root()).number();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /**
     * Makes writes of new data fail, while the file system goes on working. What is dirty is written back before. An error
     * of an earlier time stays as seen or unseen as it is.
     */
    public abstract void startFailing() throws IOException;

    /** Lets everything succeed again. What failed stays lost, and what the superblock says about it stays. */
    public abstract void heal() throws IOException;

    /** Unmounts and mounts again: what is read then comes from the device. Nothing may be open. */
    public abstract void remount() throws IOException;

    /**
     * Unmounts everything that is on the disk, and removes the disk. May be repeated.
     *
     * @throws IOException if somebody still used the disk after a minute: it is out of sight, and goes with its last user, who is named
     */
    @Override
    public abstract void close() throws IOException;

    /** What has reached the device so far. */
    public final Counters counters() throws IOException {
        Path statistics = Path.of("/sys/block", device().getFileName().toString(), "stat");
        String[] fields = Files.readString(statistics).strip().split(" +", -1);
        return new Counters(Long.parseLong(fields[SECTORS_WRITTEN]) * SECTOR_BYTES, Long.parseLong(fields[FLUSHES]));
    }

    /**
     * Writes back everything that is dirty on the disk.
     *
     * @throws IOException if that fails, or if the superblock has an error that nobody has seen; it is seen now
     */
    public final void syncfs() throws IOException {
        Command.run("sync", "--file-system", root().toString());
    }

    /**
     * Fills the file system: all blocks that it has for data, and writes none of them.
     *
     * @return the files that take the blocks; whoever deletes one makes room
     */
    public final List<Path> fill() throws IOException {
        List<Path> fillers = new ArrayList<>();
        long bytes = BYTES;
        while (bytes >= LEAST_FILLER_BYTES) {
            Path filler = root().resolve("filler-" + fillers.size());
            try {
                Command.run("fallocate", "--length", Long.toString(bytes), filler.toString());
                fillers.add(filler);
            } catch (IOException e) {
                if (!String.valueOf(e.getMessage()).contains("No space left on device")) {
                    throw e;
                }
                // Some file systems have allocated a part.
                Files.deleteIfExists(filler);
                bytes /= 2;
            }
        }
        return fillers;
    }

    /** Makes the kernel forget clean pages of all file systems, so that reading shows what is on disk. */
    public final void dropCaches() throws IOException {
        Files.writeString(Path.of("/proc/sys/vm/drop_caches"), "3");
    }

    /**
     * Writes bytes to a new file and leaves them dirty: random ones, but for the mark at the beginning of each sector that
     * tells a disk that they are data.
     */
    public static void writeDirty(Path file, int bytes) throws IOException {
        byte[] content = new byte[bytes];
        // Zeros might be stored as a hole by whatever lies between.
        new Random(bytes).nextBytes(content);
        for (int sector = 0; sector < bytes; sector += SECTOR_BYTES) {
            System.arraycopy(DATA_MARKER, 0, content, sector, Math.min(DATA_MARKER.length, bytes - sector));
        }
        Files.write(file, content, StandardOpenOption.CREATE_NEW);
    }

    /** The 16 bytes at the beginning of each sector of data, see {@link #writeDirty}. */
    public static byte[] dataMarker() {
        return DATA_MARKER.clone();
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
}
