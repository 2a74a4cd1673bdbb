package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FailuresTest {
    @ParameterizedTest
    @ValueSource(
            strings = {
                "syncfs",
                "fsync",
                "sync_file_range",
                "FS_IOC_FIEMAP",
                "BTRFS_IOC_START_SYNC",
                "BTRFS_IOC_WAIT_SYNC",
                "writeback"
            })
    void a_call_that_writes_back_has_lost_something_whatever_its_errno(String operation) {
        assertThat(Failures.meansLostWrite(new SyscallException(operation, "file", Errno.ENOSPC, null)))
                .isTrue();
    }

    @Test
    void a_machine_that_is_out_of_space_or_descriptors_has_lost_nothing() {
        assertThat(Failures.meansLostWrite(new SyscallException("rename", "file", Errno.ENOSPC, null)))
                .isFalse();
        assertThat(Failures.meansLostWrite(new SyscallException("openat", "file", Errno.EMFILE, null)))
                .isFalse();
    }
}
