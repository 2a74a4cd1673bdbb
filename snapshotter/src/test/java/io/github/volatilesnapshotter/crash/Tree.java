package io.github.volatilesnapshotter.crash;

import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * A directory tree as it has to come through a crash: by relative path, the type, mode, owner, extended attributes, size, content
 * and hard links of each entry. Times are not among it. Two trees that are equal are byte-identical.
 */
record Tree(SortedMap<String, String> entries) {
    private static final int TYPE = 0170000;
    private static final int DIRECTORY = 0040000;
    private static final int REGULAR = 0100000;
    private static final int SYMLINK = 0120000;
    private static final int MOST_SHOWN = 3;

    /** Reads all of it. The root is the entry {@code .}; a root that does not exist is a tree without entries. */
    static Tree of(Path root) throws IOException {
        SortedMap<String, String> entries = new TreeMap<>();
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

    private static String describe(String name, Path path, Map<Object, String> links) throws IOException {
        Map<String, Object> attributes =
                Files.readAttributes(path, "unix:mode,uid,gid,nlink,ino,rdev,size", LinkOption.NOFOLLOW_LINKS);
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

    /**
     * What is different in the other one; empty if they are equal. A Commit removes the whiteouts that hide nothing (linux.Whiteouts, with
     * tests of its own), so one may be missing.
     */
    String differencesTo(Tree found) {
        List<String> differences = new ArrayList<>();
        entries.forEach((name, expected) -> {
            String is = found.entries.get(name);
            if (is == null && !expected.endsWith(" device 0")) {
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
