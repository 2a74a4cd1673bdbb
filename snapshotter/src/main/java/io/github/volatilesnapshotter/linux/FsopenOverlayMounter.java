package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;

/** By fsopen, fsconfig, fsmount and move_mount: one {@code lowerdir+} for each layer. Linux 6.8. */
public final class FsopenOverlayMounter implements OverlayMounter {
    private final MountApi api;

    FsopenOverlayMounter(MountApi api) {
        this.api = api;
    }

    @Override
    public void mount(OverlayLayers layers, boolean isVolatile, Path target) throws SyscallException {
        try (Fd detached = createMount(layers, isVolatile)) {
            FileSystemContext.attach(api, detached, target);
        }
        if (isVolatile) {
            VolatileMount.require(target);
        }
    }

    /**
     * Mounts a volatile overlay that is attached nowhere, and returns its root directory, opened for reading. It fails
     * with EIO if the upper's superblock has an error that no syncfs has seen yet, and does not mark that as seen. The
     * mount ends with the descriptor; until then it keeps the upper's superblock in use.
     */
    public Fd openDetached(OverlayLayers layers) throws SyscallException {
        try (Fd detached = createMount(layers, true)) {
            return SystemCalls.openat(detached, CString.SELF, OpenFlags.READ_ONLY | OpenFlags.DIRECTORY);
        }
    }

    private Fd createMount(OverlayLayers layers, boolean isVolatile) throws SyscallException {
        try (FileSystemContext context = FileSystemContext.open(api, OverlayOptions.TYPE)) {
            context.setString("source", OverlayOptions.TYPE);
            for (OverlayOptions.Setting setting : OverlayOptions.SETTINGS) {
                context.setString(setting.key(), setting.value());
            }
            for (Path lower : layers.lower()) {
                context.setDirectory("lowerdir+", lower);
            }
            if (layers.upper() != null && layers.work() != null) {
                context.setDirectory("upperdir", layers.upper());
                context.setDirectory("workdir", layers.work());
            }
            if (isVolatile) {
                context.setFlag("volatile");
            }
            return context.createMount();
        }
    }
}
