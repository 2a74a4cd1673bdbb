package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.lab.Disk;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;

/**
 * Writes what a layer is made of, all of it derived from a random number generator: files of no byte up to some hundred KiB, hard and
 * symbolic links, extended attributes, modes, owners, directories, whiteouts, files written under another name and renamed, files cut
 * short. Nothing is synced.
 */
final class Content {
    private static final int LARGEST_BYTES = 120 * 1024;
    private static final int SMALL_BYTES = 3_000;
    private static final int SECTOR_BYTES = 512;
    private static final List<String> MODES = List.of("rw-r--r--", "rwxr-xr-x", "rw-------", "r--r-----", "rwxrwxrwx");

    private final Random random;
    private final Path root;
    private final String prefix;
    private final List<Path> directories = new ArrayList<>();
    private final List<Path> files = new ArrayList<>();

    private Content(Random random, Path root) {
        this.random = random;
        this.root = root;
        // Another write into the same tree does not meet the names of this one.
        this.prefix = Integer.toHexString(random.nextInt(1 << 24));
        directories.add(root);
    }

    /** As containerd's differ writes a layer: straight into the upper directory. */
    static void writeLayer(Random random, Path upper) throws IOException {
        Content content = new Content(random, upper);
        content.write();
        content.writeWhiteouts();
    }

    /** As a container writes: through its mount, which makes whiteouts of what is deleted, and copies of what is changed. */
    static void writeThrough(Random random, Path merged) throws IOException {
        Content content = new Content(random, merged);
        content.write();
        content.changeWhatIsThere();
    }

    private void write() throws IOException {
        for (int i = random.nextInt(4); i > 0; i--) {
            Path directory = pick(directories).resolve("d" + prefix + i);
            Files.createDirectory(directory);
            directories.add(directory);
        }
        for (int i = 2 + random.nextInt(9); i > 0; i--) {
            writeFile(pick(directories).resolve("f" + prefix + i));
        }
        for (int i = random.nextInt(3); i > 0; i--) {
            Files.createLink(pick(directories).resolve("h" + prefix + i), pick(files));
            Files.createSymbolicLink(
                    pick(directories).resolve("s" + prefix + i), Path.of("to-" + random.nextInt(1_000_000)));
        }
    }

    private void writeFile(Path file) throws IOException {
        byte[] bytes = new byte[size()];
        random.nextBytes(bytes);
        markSectors(bytes);
        switch (random.nextInt(4)) {
            case 0 -> {
                Path draft = file.resolveSibling(".draft-" + file.getFileName());
                Files.write(draft, bytes, StandardOpenOption.CREATE_NEW);
                Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE);
            }
            case 1 -> {
                try (FileChannel channel =
                        FileChannel.open(file, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
                    channel.write(ByteBuffer.wrap(bytes));
                    channel.truncate(random.nextInt(bytes.length + 1));
                }
            }
            default -> Files.write(file, bytes, StandardOpenOption.CREATE_NEW);
        }
        if (random.nextInt(3) == 0) {
            FileCalls.setXattr(
                    file, "user.seed", Long.toHexString(random.nextLong()).getBytes(StandardCharsets.UTF_8));
        }
        if (random.nextInt(4) == 0) {
            Files.setAttribute(file, "unix:uid", random.nextInt(70_000));
            Files.setAttribute(file, "unix:gid", random.nextInt(70_000));
        }
        if (random.nextInt(2) == 0) {
            Files.setPosixFilePermissions(file, PosixFilePermissions.fromString(pick(MODES)));
        }
        files.add(file);
    }

    /** By its marker a disk of the lab that fails knows data from what the file system writes. */
    private static void markSectors(byte[] bytes) {
        byte[] marker = Disk.dataMarker();
        for (int sector = 0; sector < bytes.length; sector += SECTOR_BYTES) {
            System.arraycopy(marker, 0, bytes, sector, Math.min(marker.length, bytes.length - sector));
        }
    }

    private int size() {
        return switch (random.nextInt(6)) {
            case 0 -> 0;
            case 1 -> random.nextInt(LARGEST_BYTES);
            default -> random.nextInt(SMALL_BYTES);
        };
    }

    private void writeWhiteouts() throws IOException {
        for (int i = random.nextInt(3); i > 0; i--) {
            FileCalls.makeWhiteout(pick(directories).resolve("w" + prefix + i));
        }
        if (directories.size() > 1 && random.nextInt(3) == 0) {
            FileCalls.setXattr(directories.getLast(), "trusted.overlay.opaque", new byte[] {'y'});
        }
    }

    private void changeWhatIsThere() throws IOException {
        Map<String, Path> others = new HashMap<>();
        try (Stream<Path> entries = Files.list(root)) {
            entries.filter(Files::isRegularFile)
                    .filter(file -> !files.contains(file))
                    .forEach(file -> others.put(file.toString(), file));
        }
        List<Path> sorted = others.keySet().stream().sorted().map(others::get).toList();
        if (sorted.isEmpty()) {
            return;
        }
        Files.delete(pick(sorted));
        Path changed = pick(sorted);
        if (Files.exists(changed)) {
            Files.write(changed, prefix.getBytes(StandardCharsets.UTF_8), StandardOpenOption.APPEND);
        }
    }

    private <T> T pick(List<T> list) {
        return list.get(random.nextInt(list.size()));
    }
}
