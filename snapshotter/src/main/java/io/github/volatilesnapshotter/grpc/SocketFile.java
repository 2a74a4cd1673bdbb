package io.github.volatilesnapshotter.grpc;

import java.io.IOException;
import java.net.ConnectException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The file of a listening unix socket. It appears under its name in one step, listening and with mode 0600: the socket is bound to
 * a temporary name beside it, restricted, and renamed. A client that finds the temporary name before that is checked like
 * any other (see {@link PeerCheck}), and one that still reaches a stale socket is refused by the kernel until the rename.
 */
final class SocketFile {
    /** {@code sun_path} has 108 bytes, the last one a NUL (unix(7)). */
    static final int MAXIMUM_PATH_BYTES = 107;

    private final Path path;
    private final Path temporary;
    private @Nullable Object inode;

    private SocketFile(Path path, Path temporary) {
        this.path = path;
        this.temporary = temporary;
    }

    /**
     * Makes the directory (mode 0700) if it is missing, and sees to it that nobody else listens.
     *
     * @throws IOException if the path is too long, is something else than a socket, or somebody listens there
     */
    static SocketFile claim(Path address) throws IOException {
        SocketFile file = checkPath(address);
        Files.createDirectories(
                Objects.requireNonNull(file.path.getParent()),
                PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        checkNobodyListens(file.path);
        // Left by a daemon of this pid that was killed between bind and rename.
        checkNobodyListens(file.temporary);
        Files.deleteIfExists(file.temporary);
        return file;
    }

    /**
     * Looks at the path and nothing else.
     *
     * @throws IOException if it is too long, or names no file
     */
    static SocketFile checkPath(Path address) throws IOException {
        Path path = address.toAbsolutePath().normalize();
        Path directory = path.getParent();
        if (directory == null) {
            throw new FileSystemException(path.toString(), null, "not a path for a socket");
        }
        Path temporary =
                directory.resolve("." + Long.toString(ProcessHandle.current().pid(), Character.MAX_RADIX));
        checkLength(path);
        checkLength(temporary);
        return new SocketFile(path, temporary);
    }

    /** The name to bind to. */
    Path temporaryPath() {
        return temporary;
    }

    /** Gives the bound socket its mode and its name, over a stale one. */
    void publish() throws IOException {
        Files.setPosixFilePermissions(temporary, PosixFilePermissions.fromString("rw-------"));
        inode = inodeOf(temporary);
        Files.move(temporary, path, StandardCopyOption.ATOMIC_MOVE);
    }

    /**
     * Removes the file if it is still the published one. To be called while the socket still listens: then no other daemon can have
     * taken the name in between.
     */
    void withdraw() throws IOException {
        Files.deleteIfExists(temporary);
        if (inode != null && Files.exists(path, LinkOption.NOFOLLOW_LINKS) && inode.equals(inodeOf(path))) {
            Files.delete(path);
        }
    }

    private static void checkLength(Path path) throws IOException {
        int length = path.toString().getBytes(StandardCharsets.UTF_8).length;
        if (length > MAXIMUM_PATH_BYTES) {
            throw new FileSystemException(
                    path.toString(),
                    null,
                    "a socket's path has at most " + MAXIMUM_PATH_BYTES + " bytes, this one has " + length);
        }
    }

    private static void checkNobodyListens(Path path) throws IOException {
        if (!Files.exists(path, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        if (!Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                .isOther()) {
            throw new FileSystemException(path.toString(), null, "exists and is no socket");
        }
        try (SocketChannel probe = SocketChannel.open(StandardProtocolFamily.UNIX)) {
            // Blocking, the kernel would wait without bound for room in the other daemon's backlog.
            probe.configureBlocking(false);
            probe.connect(UnixDomainSocketAddress.of(path));
        } catch (ConnectException e) {
            return;
        }
        throw new FileSystemException(path.toString(), null, "another process listens there");
    }

    /** Device and inode number. */
    private static Object inodeOf(Path path) throws IOException {
        Object key = Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                .fileKey();
        if (key == null) {
            throw new FileSystemException(path.toString(), null, "has no inode number");
        }
        return key;
    }
}
