package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;
import org.jspecify.annotations.Nullable;

/** A superblock takes nothing new now: its errors keep coming, or it does not write at all. The same may succeed later. */
public final class SuperblockUnavailableException extends Exception {
    private static final long serialVersionUID = 1;

    private final transient Device device;
    private final transient Errno errno;

    public SuperblockUnavailableException(String message, Device device, Errno errno, @Nullable Throwable cause) {
        super(message, cause);
        this.device = device;
        this.errno = errno;
    }

    public Device device() {
        return device;
    }

    public Errno errno() {
        return errno;
    }
}
