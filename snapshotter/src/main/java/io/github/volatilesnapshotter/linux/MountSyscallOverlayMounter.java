package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * By mount(2), for kernels before 6.8. Every directory goes by way of a descriptor, which makes the options short and
 * free of characters that would have to be escaped. More layers than fit are refused with E2BIG.
 */
public final class MountSyscallOverlayMounter implements OverlayMounter {
    MountSyscallOverlayMounter() {}

    @Override
    public void mount(OverlayLayers layers, boolean isVolatile, Path target) throws SyscallException {
        try (DescriptorPaths paths = new DescriptorPaths()) {
            @Nullable String upper = layers.upper() == null ? null : paths.of(layers.upper());
            @Nullable String work = layers.work() == null ? null : paths.of(layers.work());
            CString options = OverlayOptions.inOneString(paths.of(layers.lower()), upper, work, isVolatile);
            CString type = CString.of(OverlayOptions.TYPE);
            SystemCalls.mount(type, target, type, 0, options);
        }
        if (isVolatile) {
            VolatileMount.require(target);
        }
    }
}
