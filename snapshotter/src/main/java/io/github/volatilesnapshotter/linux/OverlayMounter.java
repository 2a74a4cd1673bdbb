package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;

/** Mounts overlays in one of the two ways that the kernel has. Safe for use by several threads. */
public sealed interface OverlayMounter permits FsopenOverlayMounter, MountSyscallOverlayMounter {
    /**
     * Mounts an overlay with {@code index=off,redirect_dir=off,metacopy=off}, all paths taken as they are whatever
     * characters they have. A volatile one is checked to be so afterwards and, if not, taken away again.
     *
     * <p>Fails with EIO if it shall be volatile and its upper's superblock has an error that no syncfs has seen yet, and
     * with EINVAL if the work directory was used by a volatile mount before (ovl_fill_super).
     *
     * @param target an existing directory
     */
    void mount(OverlayLayers layers, boolean isVolatile, Path target) throws SyscallException;

    /** The better way of those that the kernel has: layers one by one are taken since Linux 6.8. */
    static OverlayMounter forKernel(KernelRelease release) {
        return release.atLeast(6, 8) ? fsopen() : mountSyscall();
    }

    /** The new mount API: up to 500 lower layers. */
    static FsopenOverlayMounter fsopen() {
        return new FsopenOverlayMounter(MountApi.ofThisLibrary());
    }

    /** mount(2), for kernels before 6.8: as many lower layers as fit into a page of options, at least 200. */
    static MountSyscallOverlayMounter mountSyscall() {
        return new MountSyscallOverlayMounter();
    }
}
