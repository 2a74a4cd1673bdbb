package io.github.volatilesnapshotter.crash;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** What Java's own files do not know: whiteouts, and extended attributes of every namespace. Symbolic links are not followed. */
final class FileCalls {
    private static final Linker LINKER = Linker.nativeLinker();
    private static final Linker.Option ERRNO = Linker.Option.captureCallState("errno");
    private static final MemoryLayout CALL_STATE = Linker.Option.captureStateLayout();
    private static final long ERRNO_OFFSET = CALL_STATE.byteOffset(MemoryLayout.PathElement.groupElement("errno"));

    private static final int CHARACTER_DEVICE = 0020000;
    private static final int XATTR_LIST_MAX = 64 * 1024;

    private static final MethodHandle MKNOD =
            function("mknod", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_LONG));
    private static final MethodHandle LSETXATTR =
            function("lsetxattr", FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG, JAVA_INT));
    private static final MethodHandle LGETXATTR =
            function("lgetxattr", FunctionDescriptor.of(JAVA_LONG, ADDRESS, ADDRESS, ADDRESS, JAVA_LONG));
    private static final MethodHandle LLISTXATTR =
            function("llistxattr", FunctionDescriptor.of(JAVA_LONG, ADDRESS, ADDRESS, JAVA_LONG));

    private FileCalls() {}

    private static MethodHandle function(String name, FunctionDescriptor descriptor) {
        return LINKER.downcallHandle(LINKER.defaultLookup().findOrThrow(name), descriptor, ERRNO);
    }

    /** A whiteout as an overlay understands it: a character device 0:0. */
    static void makeWhiteout(Path path) throws IOException {
        call("mknod " + path, (arena, state) ->
                (int) MKNOD.invokeExact(state, arena.allocateFrom(path.toString()), CHARACTER_DEVICE, 0L));
    }

    static void setXattr(Path path, String name, byte[] value) throws IOException {
        call("lsetxattr " + path + " " + name, (arena, state) -> (int) LSETXATTR.invokeExact(
                state,
                arena.allocateFrom(path.toString()),
                arena.allocateFrom(name),
                arena.allocateFrom(JAVA_BYTE, value),
                (long) value.length,
                0));
    }

    static byte[] getXattr(Path path, String name) throws IOException {
        byte[][] value = new byte[1][];
        call("lgetxattr " + path + " " + name, (arena, state) -> {
            MemorySegment buffer = arena.allocate(XATTR_LIST_MAX);
            long length = (long) LGETXATTR.invokeExact(
                    state, arena.allocateFrom(path.toString()), arena.allocateFrom(name), buffer, buffer.byteSize());
            value[0] = length < 0 ? new byte[0] : buffer.asSlice(0, length).toArray(JAVA_BYTE);
            return length;
        });
        return value[0];
    }

    /** Names in the order in which the filesystem has them. */
    static List<String> xattrs(Path path) throws IOException {
        List<String> names = new ArrayList<>();
        call("llistxattr " + path, (arena, state) -> {
            MemorySegment buffer = arena.allocate(XATTR_LIST_MAX);
            long length = (long)
                    LLISTXATTR.invokeExact(state, arena.allocateFrom(path.toString()), buffer, buffer.byteSize());
            if (length > 0) {
                String all = new String(buffer.asSlice(0, length).toArray(JAVA_BYTE), StandardCharsets.UTF_8);
                names.addAll(List.of(all.split("\0")));
            }
            return length;
        });
        return names;
    }

    private static void call(String what, Call call) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = arena.allocate(CALL_STATE);
            if (call.make(arena, state) < 0) {
                throw new IOException(what + ": errno " + state.get(JAVA_INT, ERRNO_OFFSET));
            }
        }
    }

    private interface Call {
        long invoke(Arena arena, MemorySegment state) throws Throwable;

        default long make(Arena arena, MemorySegment state) throws IOException {
            try {
                return invoke(arena, state);
            } catch (Throwable e) {
                throw new IOException("native call", e);
            }
        }
    }
}
