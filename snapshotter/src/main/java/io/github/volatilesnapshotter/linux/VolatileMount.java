package io.github.volatilesnapshotter.linux;

import java.nio.file.Path;
import java.util.List;

/**
 * The check that an overlay asked to be volatile is. It can be mounted all the same and not be: a later {@code fsync=}
 * option silently wins, and a truncated option string loses what comes last.
 */
final class VolatileMount {
    private VolatileMount() {}

    /** Takes the mount at the target away and throws EINVAL if it is not volatile. */
    static void require(Path target) throws SyscallException {
        try {
            List<String> superOptions = MountInfo.superOptionsOf(target);
            if (!MountInfo.saysVolatile(superOptions)) {
                throw new SyscallException(
                        "mount", target.toString(), Errno.EINVAL, "asked for volatile, got " + superOptions);
            }
        } catch (SyscallException failure) {
            Mounting.detachAfter(failure, target);
            throw failure;
        }
    }
}
