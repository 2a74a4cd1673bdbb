package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;

/** The errors that an ext4 has found in itself, as its superblock counts them until fsck: not those of lost data. */
public final class Ext4Errors {
    private static final Path OF_BLOCK_DEVICES = Path.of("/sys/dev/block");
    private static final Path OF_EXT4 = Path.of("/sys/fs/ext4");

    private Ext4Errors() {}

    /** {@code /sys/fs/ext4/<name>/errors_count}; empty if there is no ext4 on the device, or no sysfs to ask. */
    public static OptionalLong count(Device device) {
        try {
            Path name = OF_BLOCK_DEVICES.resolve(device.toString()).toRealPath().getFileName();
            Path count = OF_EXT4.resolve(name).resolve("errors_count");
            return OptionalLong.of(Long.parseLong(Files.readString(count).strip()));
        } catch (IOException | NumberFormatException _) {
            return OptionalLong.empty();
        }
    }
}
