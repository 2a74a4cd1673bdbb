package io.github.volatilesnapshotter.linux;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The options of our overlays, and their form for mount(2). */
final class OverlayOptions {
    static final String TYPE = "overlay";
    static final List<Setting> SETTINGS =
            List.of(new Setting("index", "off"), new Setting("redirect_dir", "off"), new Setting("metacopy", "off"));

    /** The kernel copies one page, of 4 KiB at least, and overwrites its last byte: fs/namespace.c, copy_mount_options. */
    static final int LONGEST_BYTES = 4095;

    private OverlayOptions() {}

    /**
     * All options in one string. Throws E2BIG if the kernel would cut it off: it would then mount what is left, silently.
     * The paths must not hold commas, colons or backslashes.
     */
    static CString inOneString(List<String> lower, @Nullable String upper, @Nullable String work, boolean isVolatile)
            throws SyscallException {
        List<String> options = new ArrayList<>();
        if (isVolatile) {
            options.add("volatile");
        }
        SETTINGS.forEach(setting -> options.add(setting.key() + "=" + setting.value()));
        if (upper != null && work != null) {
            options.add("upperdir=" + upper);
            options.add("workdir=" + work);
        }
        options.add("lowerdir=" + String.join(":", lower));
        String text = String.join(",", options);
        int lengthBytes = text.getBytes(StandardCharsets.UTF_8).length;
        if (lengthBytes > LONGEST_BYTES) {
            throw new SyscallException(
                    "mount",
                    "overlay with " + lower.size() + " lower layers",
                    Errno.E2BIG,
                    "the options take " + lengthBytes + " bytes, mount(2) has room for " + LONGEST_BYTES);
        }
        return CString.of(text);
    }

    record Setting(String key, String value) {}
}
