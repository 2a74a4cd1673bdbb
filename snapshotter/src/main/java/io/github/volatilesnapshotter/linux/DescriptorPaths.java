package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Short names for directories: {@code /proc/self/fd/N}, whatever their path is and whatever characters it has. They are
 * good until this is closed. One thread only.
 */
final class DescriptorPaths implements AutoCloseable {
    private final List<Fd> open = new ArrayList<>();

    String of(Path directory) throws SyscallException {
        Fd descriptor = SystemCalls.open(directory, OpenFlags.PATH | OpenFlags.DIRECTORY, 0);
        open.add(descriptor);
        return "/proc/self/fd/" + descriptor.number();
    }

    List<String> of(List<Path> directories) throws SyscallException {
        List<String> paths = new ArrayList<>(directories.size());
        for (Path directory : directories) {
            paths.add(of(directory));
        }
        return paths;
    }

    @Override
    public void close() {
        open.forEach(Fd::close);
    }
}
