package io.github.volatilesnapshotter.crash;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileTime;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Objects;
import java.util.TreeMap;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * A directory tree as it has to come through a crash: by relative path, the type, mode, owner, extended attributes, size, content,
 * hard links, and time of modification of each entry, but of the time of a whiteout, which means nothing. Two trees that are equal are
 * byte-identical.
 */
record Tree(NavigableMap<String, String> entries) {
    private static final int TYPE = 0170000;
    private static final int DIRECTORY = 0040000;
    private static final int REGULAR = 0100000;
    private static final int SYMLINK = 0120000;
    private static final int DEVICE = 0020000;
    private static final String MODIFIED = " modified ";
    private static final String OPAQUE = " trusted.overlay.opaque=79";
    private static final int MOST_SHOWN = 3;

    /** Reads all of it. The root is the entry {@code .}; a root that does not exist is a tree without entries. */
    static Tree of(Path root) throws IOException {
        NavigableMap<String, String> entries = new TreeMap<>();
        Map<Object, String> links = new HashMap<>();
        if (!Files.exists(root, LinkOption.NOFOLLOW_LINKS)) {
            return new Tree(entries);
        }
        List<Path> paths = new ArrayList<>();
        Files.walkFileTree(root, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes) {
                paths.add(directory);
                return FileVisitResult.CONTINUE;
            }

            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) {
                paths.add(file);
                return FileVisitResult.CONTINUE;
            }
        });
        paths.sort(null);
        for (Path path : paths) {
            String name = path.equals(root) ? "." : root.relativize(path).toString();
            entries.put(name, describe(name, path, links));
        }
        return new Tree(entries);
    }

    /**
     * What an active has to be as a layer. Where an earlier Commit was killed while it removed whiteouts, their directories get the times back
     * that it has noted beside the upper: each as 8 bytes of seconds, 4 of nanoseconds, 4 of the length of a path, and the path below it.
     */
    static Tree ofActive(Path upper) throws IOException {
        Tree tree = of(upper);
        Path note = upper.resolveSibling("times");
        ByteBuffer noted = ByteBuffer.wrap(Files.exists(note) ? Files.readAllBytes(note) : new byte[0]);
        while (noted.remaining() >= Long.BYTES + 2 * Integer.BYTES) {
            Instant time = Instant.ofEpochSecond(noted.getLong(), noted.getInt());
            int length = noted.getInt();
            if (length > noted.remaining()) {
                break;
            }
            byte[] path = new byte[length];
            noted.get(path);
            String name = length == 0 ? "." : new String(path, StandardCharsets.UTF_8).substring(1);
            tree.entries.computeIfPresent(name, (_, entry) -> entry.replaceFirst(MODIFIED + "\\S+", MODIFIED + time));
        }
        return tree;
    }

    private static String describe(String name, Path path, Map<Object, String> links) throws IOException {
        Map<String, Object> attributes = Files.readAttributes(
                path, "unix:mode,uid,gid,nlink,ino,rdev,size,lastModifiedTime", LinkOption.NOFOLLOW_LINKS);
        int mode = (int) attributes.get("mode");
        StringBuilder text = new StringBuilder();
        text.append(Integer.toOctalString(mode))
                .append(' ')
                .append(attributes.get("uid"))
                .append(':')
                .append(attributes.get("gid"));
        switch (mode & TYPE) {
            case DIRECTORY -> {}
            case REGULAR -> {
                text.append(" size ").append(attributes.get("size"));
                text.append(" sha256 ").append(hash(path));
                if ((int) attributes.get("nlink") > 1) {
                    String first = links.putIfAbsent(attributes.get("ino"), name);
                    text.append(" as ").append(first == null ? name : first);
                }
            }
            case SYMLINK -> text.append(" to ").append(Files.readSymbolicLink(path));
            default -> text.append(" device ").append(attributes.get("rdev"));
        }
        if ((mode & TYPE) != DEVICE) {
            text.append(MODIFIED).append(((FileTime) attributes.get("lastModifiedTime")).toInstant());
        }
        for (String xattr : FileCalls.xattrs(path).stream().sorted().toList()) {
            text.append(' ').append(xattr).append('=');
            text.append(HexFormat.of().formatHex(FileCalls.getXattr(path, xattr)));
        }
        return text.toString();
    }

    private static String hash(Path file) throws IOException {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            return HexFormat.of().formatHex(digest.digest(Files.readAllBytes(file)), 0, 16);
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** What is different in the other one; empty if they are equal. */
    String differencesTo(Tree found) {
        return differencesTo(found, _ -> true);
    }

    /**
     * The same after a Commit, which removes whiteouts that hide nothing (linux.Whiteouts): one may be missing whose name no layer below
     * shows.
     *
     * @param below the layers below, uppermost first
     */
    String differencesAfterCommit(Tree found, List<Tree> below) {
        return differencesTo(found, name -> !isBelowOpaque(name) && isShown(name, below));
    }

    private boolean isBelowOpaque(String name) {
        return above(name)
                .anyMatch(directory -> entries.getOrDefault(directory, "").contains(OPAQUE));
    }

    /** The directories that a name lies in, without the root. */
    private static Stream<String> above(String name) {
        return Stream.iterate(Path.of(name).getParent(), Objects::nonNull, Path::getParent)
                .map(Path::toString);
    }

    /** As an overlay of these layers looks a name up, one directory after the other. */
    private static boolean isShown(String name, List<Tree> layers) {
        for (Tree layer : layers) {
            if (above(name).map(layer.entries::get).anyMatch(entry -> entry != null && !isDirectory(entry))) {
                return false;
            }
            String entry = layer.entries.getOrDefault(name, "");
            if (!entry.isEmpty() || layer.isBelowOpaque(name)) {
                return !entry.isEmpty() && !isWhiteout(entry);
            }
        }
        return false;
    }

    /** Names in the root itself that an overlay shows. */
    List<String> topLevel() {
        return entries.keySet().stream()
                .filter(name -> !name.equals(".") && !name.contains("/") && !isWhiteout(entries.get(name)))
                .toList();
    }

    private static boolean isDirectory(String entry) {
        return entry.startsWith("4");
    }

    private static boolean isWhiteout(String entry) {
        return entry.endsWith(" device 0");
    }

    private String differencesTo(Tree found, Predicate<String> mustStay) {
        List<String> differences = new ArrayList<>();
        entries.forEach((name, expected) -> {
            String is = found.entries.get(name);
            if (is == null && (!isWhiteout(expected) || mustStay.test(name))) {
                differences.add(name + " is missing (" + expected + ")");
            } else if (is != null && !is.equals(expected)) {
                differences.add(name + " was " + expected + ", is " + is);
            }
        });
        found.entries.keySet().stream()
                .filter(name -> !entries.containsKey(name))
                .forEach(name -> differences.add(name + " came out of nowhere"));
        return differences.stream().limit(MOST_SHOWN).collect(Collectors.joining("; "))
                + (differences.size() > MOST_SHOWN ? "; and " + (differences.size() - MOST_SHOWN) + " more" : "");
    }

    @Override
    public String toString() {
        return entries.size() + " files";
    }
}
