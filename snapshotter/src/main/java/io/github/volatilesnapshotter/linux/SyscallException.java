package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/**
 * The kernel refused a call. The message names operation, arguments, errno and what the kernel said, for example
 * {@code fsconfig(FSCONFIG_SET_FLAG, "nonsense"): EINVAL (22): overlay: Unknown parameter 'nonsense'}.
 */
public final class SyscallException extends IOException {
    private final String operation;
    private final String arguments;
    private final Errno errno;
    private final @Nullable String kernelMessage;

    public SyscallException(String operation, String arguments, Errno errno) {
        this(operation, arguments, errno, null);
    }

    /**
     * @param operation the C function, for example {@code syncfs}
     * @param arguments as they are to be read in a log line, separated by a comma and a space
     * @param kernelMessage what the kernel said beside the errno; null if nothing
     */
    public SyscallException(String operation, String arguments, Errno errno, @Nullable String kernelMessage) {
        super(operation + "(" + arguments + "): " + errno + (kernelMessage == null ? "" : ": " + kernelMessage));
        this.operation = operation;
        this.arguments = arguments;
        this.errno = errno;
        this.kernelMessage = kernelMessage;
    }

    public String operation() {
        return operation;
    }

    public String arguments() {
        return arguments;
    }

    public Errno errno() {
        return errno;
    }

    /** What the kernel said beside the errno, for example in the log of a file system context; null if nothing. */
    public @Nullable String kernelMessage() {
        return kernelMessage;
    }
}
