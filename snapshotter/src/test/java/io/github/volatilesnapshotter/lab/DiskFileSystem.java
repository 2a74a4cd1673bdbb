package io.github.volatilesnapshotter.lab;

import io.github.volatilesnapshotter.lab.RequestRule.Kind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.EnumSet;
import java.util.Set;
import org.cryptomator.jfuse.api.Errno;
import org.cryptomator.jfuse.api.FileInfo;
import org.cryptomator.jfuse.api.FuseConfig;
import org.cryptomator.jfuse.api.FuseConnInfo;
import org.cryptomator.jfuse.api.FuseOperations;
import org.cryptomator.jfuse.api.Stat;

/**
 * A FUSE file system with a single file: asks the {@link RequestRule} about each request, and the {@link BlockStore} for what
 * does not fail. Called by libfuse's threads, which an exception would end together with the process.
 */
final class DiskFileSystem implements FuseOperations {
    /** The name of the file. */
    static final String FILE = "disk.img";

    /** More than the 128 that a loop device has in flight, so that a read finds a thread while all writes hang. */
    static final int MAX_REQUESTS = 160;

    // A single user: root.
    private static final int DIRECTORY_MODE = Stat.S_IFDIR | 0700;
    private static final int FILE_MODE = Stat.S_IFREG | 0600;

    private static final ByteBuffer NOTHING = ByteBuffer.allocate(0);

    private final Errno errno;
    private final long bytes;
    private final RequestRule rule;
    private final BlockStore store;

    DiskFileSystem(Errno errno, long bytes, RequestRule rule, BlockStore store) {
        this.errno = errno;
        this.bytes = bytes;
        this.rule = rule;
        this.store = store;
    }

    @Override
    public Errno errno() {
        return errno;
    }

    @Override
    public Set<Operation> supportedOperations() {
        return EnumSet.of(
                Operation.INIT, Operation.GET_ATTR, Operation.OPEN, Operation.READ, Operation.WRITE, Operation.FSYNC);
    }

    /** The kernel sends 12 asynchronous requests at a time unless told otherwise: hanging writes would stop reads. */
    @Override
    public void init(FuseConnInfo connection, FuseConfig configuration) {
        connection.setMaxBackground(MAX_REQUESTS);
        connection.setCongestionThreshold(MAX_REQUESTS);
    }

    @Override
    public int getattr(String path, Stat stat, FileInfo fileInfo) {
        switch (path) {
            case "/" -> {
                stat.setMode(DIRECTORY_MODE);
                stat.setNLink((short) 2);
            }
            case "/" + FILE -> {
                stat.setMode(FILE_MODE);
                stat.setNLink((short) 1);
                stat.setSize(bytes);
            }
            default -> {
                return -errno.enoent();
            }
        }
        return 0;
    }

    @Override
    public int open(String path, FileInfo fileInfo) {
        return 0;
    }

    @Override
    public int read(String path, ByteBuffer buffer, long size, long offset, FileInfo fileInfo) {
        int length = (int) Math.clamp(bytes - offset, 0, size);
        buffer.limit(buffer.position() + length);
        return answer(length, () -> {
            store.read(buffer.duplicate(), offset);
            return rule.fails(Kind.READ, buffer);
        });
    }

    @Override
    public int write(String path, ByteBuffer buffer, long size, long offset, FileInfo fileInfo) {
        if (offset + size > bytes) {
            return -errno.eio();
        }
        return answer((int) size, () -> {
            if (rule.fails(Kind.WRITE, buffer)) {
                return true;
            }
            store.write(buffer, offset);
            return false;
        });
    }

    @Override
    public int fsync(String path, int dataOnly, FileInfo fileInfo) {
        return answer(0, () -> {
            if (rule.fails(Kind.FLUSH, NOTHING)) {
                return true;
            }
            store.flush();
            return false;
        });
    }

    private interface Request {
        /** Does what is asked for, unless it fails. */
        boolean fails() throws IOException, InterruptedException;
    }

    private int answer(int success, Request request) {
        try {
            return request.fails() ? -errno.eio() : success;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return -errno.eio();
        } catch (IOException | RuntimeException | Error e) {
            e.printStackTrace();
            return -errno.eio();
        }
    }
}
