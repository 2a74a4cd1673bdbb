package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

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

    /**
     * That no descriptor stays open. Waits for it, at most ten seconds: the virtual machine opens and closes files of its own at any
     * time.
     */
    static void assertNoDescriptorLeft(int openBefore) {
        await().untilAsserted(() -> assertThat(openDescriptors()).isLessThanOrEqualTo(openBefore));
    }

    /** How many descriptors this process has open, but for the one that looks. */
    static int openDescriptors() {
        String[] descriptors = Path.of("/proc/self/fd").toFile().list();
        assertThat(descriptors).isNotNull();
        return descriptors.length;
    }
}
