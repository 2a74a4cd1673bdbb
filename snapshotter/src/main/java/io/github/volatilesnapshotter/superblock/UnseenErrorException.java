package io.github.volatilesnapshotter.superblock;

import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Errno;
import org.jspecify.annotations.Nullable;

/** Writeback errors of a superblock kept coming, faster than they could be cleared, or clearing them failed. */
public final class UnseenErrorException extends Exception {
    private static final long serialVersionUID = 1;

    private final transient Device device;
    private final transient Errno errno;

    UnseenErrorException(String message, Device device, Errno errno, @Nullable Throwable cause) {
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
