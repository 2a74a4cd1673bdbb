package io.github.volatilesnapshotter.snapshot;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserDefinedFileAttributeView;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;

/** A tree of every kind of file that a layer can hold, and what it looks like. The same seed gives the same tree. */
final class SampleTree {
    private static final int LARGEST_FILE_BYTES = 100 * 1024;
    private static final int FILES_IN_DIRECTORY = 50;

    /** Longer than what ext4 keeps inside an inode. */
    private static final String LONG_TARGET = "nowhere/" + "x".repeat(500);

    private SampleTree() {}

    /** Writes it; none of it is synced. */
    static void write(Path root, int files, long seed) throws IOException {
        Random random = new Random(seed);
        Path directory = root;
        for (int i = 0; i < files; i++) {
            if (i % FILES_IN_DIRECTORY == 0) {
                directory = Files.createDirectories((i % 3 == 0 ? root : directory).resolve("d" + i));
                Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-x--x"));
            }
            Path file = directory.resolve("f" + i);
            byte[] content = new byte[1 + random.nextInt(LARGEST_FILE_BYTES)];
            random.nextBytes(content);
            Files.write(file, content, StandardOpenOption.CREATE_NEW);
            vary(file, i, content.length);
        }
    }

    private static void vary(Path file, int number, int length) throws IOException {
        switch (number % 10) {
            case 0 -> Files.createLink(file.resolveSibling(file.getFileName() + ".link"), file);
            case 1 -> {
                Files.createSymbolicLink(file.resolveSibling("short" + number), file.getFileName());
                Files.createSymbolicLink(file.resolveSibling("long" + number), Path.of(LONG_TARGET));
            }
            case 2 ->
                Files.setAttribute(
                        file, "user:note", ByteBuffer.wrap(("of " + number).getBytes(StandardCharsets.UTF_8)));
            case 3 -> Files.move(file, file.resolveSibling("moved" + number), StandardCopyOption.ATOMIC_MOVE);
            case 4 -> resize(file, length / 2);
            case 5 -> resize(file, length * 3L);
            case 6 -> makeSparse(file);
            case 7 -> writeMapped(file, length);
            case 8 -> writeAndUnlink(file);
            default -> Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("r-xr-----"));
        }
    }

    private static void resize(Path file, long length) throws IOException {
        try (RandomAccessFile open = new RandomAccessFile(file.toFile(), "rw")) {
            open.setLength(length);
        }
    }

    private static void makeSparse(Path file) throws IOException {
        try (RandomAccessFile open = new RandomAccessFile(file.toFile(), "rw")) {
            open.seek(3L << 20);
            open.write("far away".getBytes(StandardCharsets.UTF_8));
        }
    }

    private static void writeMapped(Path file, int length) throws IOException {
        // A mapping that waits for the garbage collector would keep the filesystem busy.
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
                Arena arena = Arena.ofConfined()) {
            MemorySegment map = channel.map(FileChannel.MapMode.READ_WRITE, 0, length, arena);
            for (int position = 0; position < length; position += 512) {
                map.set(ValueLayout.JAVA_BYTE, position, (byte) position);
            }
        }
    }

    /** Of no use to anybody, and in nobody's way. */
    private static void writeAndUnlink(Path file) throws IOException {
        Path gone = file.resolveSibling("gone");
        Files.write(gone, new byte[] {1, 2, 3});
        Files.delete(gone);
    }

    /** Each path with all that a reader can see of it; the root is {@code ""}. */
    static Map<String, String> describe(Path root) throws IOException {
        Map<String, String> seen = new TreeMap<>();
        try (Stream<Path> paths = Files.walk(root)) {
            for (Path path : (Iterable<Path>) paths::iterator) {
                seen.put(root.relativize(path).toString(), describeOne(path));
            }
        }
        return seen;
    }

    private static String describeOne(Path path) throws IOException {
        PosixFileAttributes attributes =
                Files.readAttributes(path, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
        if (attributes.isSymbolicLink()) {
            return "-> " + Files.readSymbolicLink(path);
        }
        String mode = PosixFilePermissions.toString(attributes.permissions());
        Object links = Files.getAttribute(path, "unix:nlink", LinkOption.NOFOLLOW_LINKS);
        if (attributes.isDirectory()) {
            // How many links a directory has is each filesystem's own matter.
            return "directory " + mode;
        }
        return mode + " " + links + " links " + attributes.size() + " bytes " + digest(path) + " " + note(path);
    }

    private static String note(Path path) throws IOException {
        UserDefinedFileAttributeView view = Files.getFileAttributeView(path, UserDefinedFileAttributeView.class);
        if (!view.list().contains("note")) {
            return "";
        }
        ByteBuffer value = ByteBuffer.allocate(view.size("note"));
        view.read("note", value);
        return new String(value.array(), StandardCharsets.UTF_8);
    }

    private static String digest(Path file) throws IOException {
        try {
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file));
            return new BigInteger(1, digest).toString(16);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }
}
