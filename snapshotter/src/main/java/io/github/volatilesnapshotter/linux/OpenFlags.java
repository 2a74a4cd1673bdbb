package io.github.volatilesnapshotter.linux;

/**
 * Flags of open(2). Three of them have other values on aarch64 than on x86_64: arch/arm64/include/uapi/asm/fcntl.h
 * against include/uapi/asm-generic/fcntl.h.
 */
final class OpenFlags {
    static final int READ_ONLY = 0;
    static final int READ_WRITE = 2;
    static final int CREATE = 0x40;
    static final int EXCLUSIVE = 0x80;
    static final int TRUNCATE = 0x200;
    static final int APPEND = 0x400;
    static final int NON_BLOCKING = 0x800;
    static final int CLOSE_ON_EXEC = 0x80000;
    static final int PATH = 0x200000;

    private static final boolean AARCH64 = System.getProperty("os.arch", "").equals("aarch64");
    static final int DIRECTORY = AARCH64 ? 0x4000 : 0x10000;
    /** Past the page cache. */
    static final int DIRECT = AARCH64 ? 0x10000 : 0x4000;

    static final int NO_FOLLOW = AARCH64 ? 0x8000 : 0x20000;

    private OpenFlags() {}
}
