package io.github.volatilesnapshotter.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * A filesystem being configured, from fsopen(2) to fsmount(2). A parameter that the kernel rejects does not keep it from
 * creating the filesystem without it, so a failed {@code set} must end in close. One thread only.
 */
final class FileSystemContext implements AutoCloseable {
    /** fsconfig copies 256 bytes with the NUL: fs/fsopen.c, strndup_user(_value, 256). */
    private static final int LONGEST_VALUE_BYTES = 255;

    private static final int CLOSE_ON_EXEC = 1;
    private static final int MOVE_FROM_EMPTY_PATH = 4;
    /** The kernel keeps eight messages of up to a page; each read returns one: include/linux/fs_context.h, fc_log. */
    private static final int MOST_MESSAGES = 8;

    private static final int LONGEST_MESSAGE_BYTES = 4096;
    /** Before the message stand its level (e, w or i) and a space. */
    private static final int LEVEL_CHARACTERS = 2;

    private final MountApi api;
    private final Fd context;
    private final DescriptorPaths descriptorPaths = new DescriptorPaths();

    private FileSystemContext(MountApi api, Fd context) {
        this.api = api;
        this.context = context;
    }

    static FileSystemContext open(MountApi api, String type) throws SyscallException {
        CString name = CString.of(type);
        try (CallFrame frame = new CallFrame()) {
            int result = api.fsopen(frame.callState(), frame.string(name), CLOSE_ON_EXEC);
            frame.check(result, "fsopen", name);
            return new FileSystemContext(api, new Fd(result, name));
        }
    }

    void setFlag(String key) throws SyscallException {
        configure(Command.FSCONFIG_SET_FLAG, CString.of(key));
    }

    void setString(String key, String value) throws SyscallException {
        configure(Command.FSCONFIG_SET_STRING, CString.of(key), CString.of(value));
    }

    /** By its name if that can be handed over as it is; overlayfs takes a backslash in some parameters as an escape. */
    void setDirectory(String key, Path directory) throws SyscallException {
        CString path = CString.of(directory);
        boolean direct = path.lengthBytes() <= LONGEST_VALUE_BYTES && !path.contains('\\');
        configure(
                Command.FSCONFIG_SET_STRING,
                CString.of(key),
                direct ? path : CString.of(descriptorPaths.of(directory)));
    }

    /** The filesystem, mounted, but attached nowhere: it ends with the descriptor. The descriptor is an O_PATH one. */
    Fd createMount() throws SyscallException {
        configure(Command.FSCONFIG_CMD_CREATE);
        try (CallFrame frame = new CallFrame()) {
            int result = api.fsmount(frame.callState(), context.number(), CLOSE_ON_EXEC, 0);
            if (result == -1) {
                throw failure(frame, "fsmount", context.toString());
            }
            return new Fd(result, CString.of("detached mount"));
        }
    }

    /** Attaches a mount that is attached nowhere. Does not follow a symbolic link at the target. */
    static void attach(MountApi api, Fd detached, Path target) throws SyscallException {
        CString mountPoint = CString.of(target);
        try (CallFrame frame = new CallFrame()) {
            int result = api.moveMount(
                    frame.callState(),
                    detached.number(),
                    frame.string(CString.EMPTY),
                    SystemCalls.AT_WORKING_DIRECTORY,
                    frame.string(mountPoint),
                    MOVE_FROM_EMPTY_PATH);
            frame.check(result, "move_mount", detached, mountPoint);
        }
    }

    private void configure(Command command, CString... keyAndValue) throws SyscallException {
        try (CallFrame frame = new CallFrame()) {
            MemorySegment key = keyAndValue.length > 0 ? frame.string(keyAndValue[0]) : MemorySegment.NULL;
            MemorySegment value = keyAndValue.length > 1 ? frame.string(keyAndValue[1]) : MemorySegment.NULL;
            int result = api.fsconfig(frame.callState(), context.number(), command.number, key, value, 0);
            if (result == -1) {
                List<Object> shown = new ArrayList<>(List.of(keyAndValue));
                shown.addFirst(command);
                throw failure(frame, "fsconfig", CallFrame.text(shown.toArray()));
            }
        }
    }

    private SyscallException failure(CallFrame frame, String operation, String arguments) {
        Errno errno = frame.errno();
        List<String> messages = messages();
        return new SyscallException(
                operation, arguments, errno, messages.isEmpty() ? null : String.join("; ", messages));
    }

    /** What the kernel has to say; a read that fails with ENODATA ends it. */
    private List<String> messages() {
        List<String> messages = new ArrayList<>();
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment callState = arena.allocate(LibC.CALL_STATE);
            MemorySegment buffer = arena.allocate(LONGEST_MESSAGE_BYTES);
            for (int read = 0; read < MOST_MESSAGES; read++) {
                long length = LibC.read(callState, context.number(), buffer, buffer.byteSize());
                if (length <= LEVEL_CHARACTERS) {
                    break;
                }
                byte[] message = buffer.asSlice(0, length).toArray(ValueLayout.JAVA_BYTE);
                messages.add(new String(message, StandardCharsets.UTF_8)
                        .substring(LEVEL_CHARACTERS)
                        .strip());
            }
        }
        return messages;
    }

    @Override
    public void close() {
        context.close();
        descriptorPaths.close();
    }

    private enum Command {
        FSCONFIG_SET_FLAG(0),
        FSCONFIG_SET_STRING(1),
        FSCONFIG_CMD_CREATE(6);

        private final int number;

        Command(int number) {
            this.number = number;
        }
    }
}
