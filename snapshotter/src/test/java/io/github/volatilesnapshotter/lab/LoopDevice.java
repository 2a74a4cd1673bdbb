package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * A loop device over a file of FUSE. It goes with its last user: this object until {@link #letGo}, and after it the mount. So it
 * is never detached by a number that may be somebody else's by then.
 */
final class LoopDevice {
    // A request of the device shall be one of FUSE, which has a megabyte and 256 pages at most. The 128 segments of a
    // request may each begin and end within a page.
    private static final String REQUEST_KIB = "512";

    // Of any kind: a request with data of one bio and metadata of another would be both.
    private static final String NO_MERGES = "2";

    private static final String ALL_MERGES = "0";

    private final Path device;
    private final Path image;
    private FileChannel held;

    private LoopDevice(Path device, Path image, FileChannel held) {
        this.device = device;
        this.image = image;
        this.held = held;
    }

    static LoopDevice attach(Path image) throws IOException {
        return Retry.untilItWorks(() -> tryToAttach(image));
    }

    /** Somebody else may take the same device at the same moment. */
    private static LoopDevice tryToAttach(Path image) throws IOException {
        // Direct: through the page cache a read of what was once read would not come to the disk, nor fail there.
        Path device = Path.of(Command.run("losetup", "--find", "--show", "--direct-io=on", image.toString()));
        LoopDevice loop = new LoopDevice(device, image, FileChannel.open(device, StandardOpenOption.READ));
        try {
            // Nobody can give the device to another file while it is open.
            if (!loop.isAttached()) {
                throw new IOException(device + " has another file than " + image);
            }
            Command.run("losetup", "--detach", device.toString());
            if (!loop.attribute("loop/dio").equals("1")) {
                throw new IOException("no direct I/O for " + image + " on " + device);
            }
            loop.setAttribute("queue/max_sectors_kb", REQUEST_KIB);
            loop.setAttribute("queue/nomerges", NO_MERGES);
            return loop;
        } catch (IOException e) {
            loop.letGo();
            throw e;
        }
    }

    Path path() {
        return device;
    }

    /** Keeps the device while nothing on it is mounted. */
    void hold() throws IOException {
        held = FileChannel.open(device, StandardOpenOption.READ);
    }

    /** Leaves the device to the mount. May be repeated. */
    void letGo() throws IOException {
        held.close();
    }

    /** The device's settings stay when it gets another file. Nothing else has changed the limits of this one. */
    void restoreQueue() throws IOException {
        if (isAttached()) {
            setAttribute("queue/nomerges", ALL_MERGES);
            setAttribute("queue/max_sectors_kb", attribute("queue/max_hw_sectors_kb"));
        }
    }

    boolean isAttached() throws IOException {
        Path backing = attributePath("loop/backing_file");
        return Files.exists(backing) && Files.readString(backing).strip().equals(image.toString());
    }

    private String attribute(String name) throws IOException {
        return Files.readString(attributePath(name)).strip();
    }

    private void setAttribute(String name, String value) throws IOException {
        Files.writeString(attributePath(name), value);
    }

    private Path attributePath(String name) {
        return Path.of("/sys/block", device.getFileName().toString()).resolve(name);
    }

    @Override
    public String toString() {
        return device.toString();
    }
}
