package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/**
 * A directory for one test that may mount below it: afterwards, whatever happened, everything mounted there is detached
 * and the directory deleted. A field annotated {@code @RegisterExtension}.
 */
public final class MountedTempDirectory implements BeforeEachCallback, AfterEachCallback {
    private Path path;

    public Path path() {
        return path;
    }

    /** A new directory in it, with its parents. */
    public Path directory(String name) throws IOException {
        return Files.createDirectories(path.resolve(name));
    }

    public List<MountInfo> mounts() throws IOException {
        return MountInfo.ofSelf().stream()
                .filter(mount -> Path.of(mount.mountPoint()).startsWith(path))
                .toList();
    }

    /** A filesystem of a megabyte in memory. */
    static void mountTmpfs(Path target, long flags) throws SyscallException {
        CString tmpfs = CString.of("tmpfs");
        SystemCalls.mount(tmpfs, target, tmpfs, flags, CString.of("size=1m"));
    }

    @Override
    public void beforeEach(ExtensionContext context) throws IOException {
        path = Files.createTempDirectory("mounted").toRealPath();
    }

    @Override
    public void afterEach(ExtensionContext context) throws IOException {
        for (MountInfo mount : mounts().reversed()) {
            Mounting.detach(Path.of(mount.mountPoint()));
        }
        DirectoryTree.delete(path);
    }
}
