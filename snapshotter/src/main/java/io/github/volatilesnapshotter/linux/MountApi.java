package io.github.volatilesnapshotter.linux;

import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/**
 * The C functions of the new mount API as they are, of one of two origins. Their first argument receives errno, as in
 * {@link LibC}.
 */
sealed interface MountApi {
    /** <a href="https://man7.org/linux/man-pages/man2/fsopen.2.html">fsopen(2)</a>. */
    int fsopen(MemorySegment callState, MemorySegment type, int flags);

    /** <a href="https://man7.org/linux/man-pages/man2/fsconfig.2.html">fsconfig(2)</a>. */
    int fsconfig(
            MemorySegment callState, int context, int command, MemorySegment key, MemorySegment value, int auxiliary);

    /** <a href="https://man7.org/linux/man-pages/man2/fsmount.2.html">fsmount(2)</a>. */
    int fsmount(MemorySegment callState, int context, int flags, int attributes);

    /** <a href="https://man7.org/linux/man-pages/man2/move_mount.2.html">move_mount(2)</a>. */
    int moveMount(
            MemorySegment callState,
            int fromDirectory,
            MemorySegment from,
            int toDirectory,
            MemorySegment to,
            int flags);

    /** Links the functions; otherwise the first call does. */
    void link();

    /** The C library's functions, which glibc has since 2.36; before (RHEL 9, Ubuntu 22.04) syscall(2). */
    static MountApi ofThisLibrary() {
        return LibC.has("fsopen") ? new Wrapped() : new ByNumber();
    }

    /** The wrappers of the C library. */
    record Wrapped() implements MountApi {
        @Override
        public void link() {
            // Initializes the holder, whose fields are the linked functions.
            Handles.FSOPEN.type();
        }

        @Override
        public int fsopen(MemorySegment callState, MemorySegment type, int flags) {
            return (int) LibC.call(Handles.FSOPEN, callState, type.address(), flags);
        }

        @Override
        public int fsconfig(
                MemorySegment callState,
                int context,
                int command,
                MemorySegment key,
                MemorySegment value,
                int auxiliary) {
            return (int)
                    LibC.call(Handles.FSCONFIG, callState, context, command, key.address(), value.address(), auxiliary);
        }

        @Override
        public int fsmount(MemorySegment callState, int context, int flags, int attributes) {
            return (int) LibC.call(Handles.FSMOUNT, callState, context, flags, attributes);
        }

        @Override
        public int moveMount(
                MemorySegment callState,
                int fromDirectory,
                MemorySegment from,
                int toDirectory,
                MemorySegment to,
                int flags) {
            return (int) LibC.call(
                    Handles.MOVE_MOUNT, callState, fromDirectory, from.address(), toDirectory, to.address(), flags);
        }

        /** Apart, because they exist only in newer C libraries. */
        private static final class Handles {
            static final MethodHandle FSOPEN = LibC.handle("fsopen", 2);
            static final MethodHandle FSCONFIG = LibC.handle("fsconfig", 5);
            static final MethodHandle FSMOUNT = LibC.handle("fsmount", 3);
            static final MethodHandle MOVE_MOUNT = LibC.handle("move_mount", 5);
        }
    }

    /** By system call number; those of the mount API are the same on every architecture (numbers from 424 up are). */
    record ByNumber() implements MountApi {
        private static final long MOVE_MOUNT = 429;
        private static final long FSOPEN = 430;
        private static final long FSCONFIG = 431;
        private static final long FSMOUNT = 432;

        @Override
        public void link() {
            LibC.link();
        }

        @Override
        public int fsopen(MemorySegment callState, MemorySegment type, int flags) {
            return (int) LibC.syscall(callState, FSOPEN, type.address(), flags, 0, 0, 0);
        }

        @Override
        public int fsconfig(
                MemorySegment callState,
                int context,
                int command,
                MemorySegment key,
                MemorySegment value,
                int auxiliary) {
            return (int) LibC.syscall(callState, FSCONFIG, context, command, key.address(), value.address(), auxiliary);
        }

        @Override
        public int fsmount(MemorySegment callState, int context, int flags, int attributes) {
            return (int) LibC.syscall(callState, FSMOUNT, context, flags, attributes, 0, 0);
        }

        @Override
        public int moveMount(
                MemorySegment callState,
                int fromDirectory,
                MemorySegment from,
                int toDirectory,
                MemorySegment to,
                int flags) {
            return (int) LibC.syscall(
                    callState, MOVE_MOUNT, fromDirectory, from.address(), toDirectory, to.address(), flags);
        }
    }
}
