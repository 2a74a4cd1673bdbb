package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;

/** What tests of native calls ask again and again. */
final class KernelAssertions {
    private KernelAssertions() {}

    static void assertErrno(Errno errno, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        SyscallException.class,
                        failure -> assertThat(failure.errno()).isEqualTo(errno));
    }

    /** How many descriptors this process has open, but for the one that looks. */
    static int openDescriptors() {
        String[] descriptors = Path.of("/proc/self/fd").toFile().list();
        assertThat(descriptors).isNotNull();
        return descriptors.length;
    }
}
