package io.github.volatilesnapshotter.linux;

/** The native calls of this package as a whole. */
public final class NativeCalls {
    private NativeCalls() {}

    /**
     * Links them all, about 0.1 s of one core. To be called from a thread beside the start; a call made before the end
     * waits for it.
     */
    public static void link() {
        LibC.link();
        MountApi.ofThisLibrary().link();
    }
}
