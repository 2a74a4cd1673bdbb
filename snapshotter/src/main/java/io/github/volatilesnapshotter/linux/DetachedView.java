package io.github.volatilesnapshotter.linux;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/**
 * A directory seen through a mount of its own that is attached nowhere and opens no device (MOUNT_ATTR_NODEV): whoever opens files there
 * by name can't be made to open a device by somebody who puts one in the place of a file. It ends when it is closed; what was opened
 * through it, with it. open_tree(2) 5.2, mount_setattr(2) 5.12; by number, which is the same on every architecture.
 */
final class DetachedView implements AutoCloseable {
    private static final long OPEN_TREE = 428;
    private static final long MOUNT_SETATTR = 442;
    private static final int OPEN_TREE_CLONE = 1;
    private static final long ATTRIBUTE_NO_DEVICES = 4;
    private static final int ATTRIBUTES_BYTES = 32;

    private final Fd mount;
    private final Fd directory;

    private DetachedView(Fd mount, Fd directory) {
        this.mount = mount;
        this.directory = directory;
    }

    /** Of a directory; mounts below it are not seen. */
    static DetachedView of(Path path) throws SyscallException {
        Fd mount = clone(path);
        try {
            forbidDevices(mount);
            // The descriptor of open_tree is only a name (O_PATH).
            return new DetachedView(
                    mount, SystemCalls.openat(mount, CString.SELF, OpenFlags.READ_ONLY | OpenFlags.DIRECTORY));
        } catch (SyscallException e) {
            mount.close();
            throw e;
        }
    }

    private static Fd clone(Path path) throws SyscallException {
        CString name = CString.of(path);
        try (CallFrame frame = new CallFrame()) {
            int flags = OPEN_TREE_CLONE | OpenFlags.CLOSE_ON_EXEC | SystemCalls.AT_SYMLINK_NOFOLLOW;
            long result = LibC.syscall(
                    frame.callState(),
                    OPEN_TREE,
                    SystemCalls.AT_WORKING_DIRECTORY,
                    frame.string(name).address(),
                    flags,
                    0,
                    0);
            frame.check(result, "open_tree", name, "0x" + Integer.toHexString(flags));
            return new Fd((int) result, name);
        }
    }

    private static void forbidDevices(Fd mount) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment attributes = frame.allocate(ATTRIBUTES_BYTES);
            attributes.set(JAVA_LONG, 0, ATTRIBUTE_NO_DEVICES);
            long result = LibC.syscall(
                    frame.callState(),
                    MOUNT_SETATTR,
                    mount.number(),
                    frame.string(CString.EMPTY).address(),
                    SystemCalls.AT_EMPTY_PATH,
                    attributes.address(),
                    ATTRIBUTES_BYTES);
            frame.check(result, "mount_setattr", mount, "MOUNT_ATTR_NODEV");
        }
    }

    Fd directory() {
        return directory;
    }

    @Override
    public void close() {
        directory.close();
        mount.close();
    }
}
