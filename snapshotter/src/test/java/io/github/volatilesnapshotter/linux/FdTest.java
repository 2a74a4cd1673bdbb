package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalStateException;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FdTest {
    private static final byte[] CONTENT = "content".getBytes(StandardCharsets.UTF_8);

    @TempDir
    Path directory;

    @Test
    void a_failed_call_names_operation_arguments_and_errno() {
        Path absent = directory.resolve("absent");

        assertThatThrownBy(() -> Fd.openReadOnly(absent))
                .isInstanceOfSatisfying(SyscallException.class, failure -> {
                    assertThat(failure.operation()).isEqualTo("open");
                    assertThat(failure.arguments()).isEqualTo("\"" + absent + "\", 0x0");
                    assertThat(failure.errno()).isEqualTo(Errno.ENOENT);
                    assertThat(failure.kernelMessage()).isNull();
                })
                .hasMessage("open(\"" + absent + "\", 0x0): ENOENT (2)");
    }

    @Test
    void a_file_is_no_directory() throws IOException {
        Path file = Files.createFile(directory.resolve("file"));

        assertErrno(Errno.ENOTDIR, () -> Fd.openDirectory(file));
    }

    @Test
    void create_writes_a_new_file_and_never_an_old_one() throws IOException {
        Path file = directory.resolve("file");
        try (Fd created = Fd.create(file, 0600)) {
            created.write(CONTENT);
            Sync.fdatasync(created);
        }

        assertThat(file).hasBinaryContent(CONTENT);
        assertErrno(Errno.EEXIST, () -> Fd.create(file, 0600));
    }

    @Test
    void open_read_write_keeps_what_is_there() throws IOException {
        Path file = directory.resolve("file");
        try (Fd created = Fd.openReadWrite(file)) {
            created.write(CONTENT);
        }
        try (Fd again = Fd.openReadWrite(file)) {
            assertThat(SystemCalls.readAll(again)).isEqualTo(CONTENT);
        }
        assertThat(Stat.of(file).permissions()).isEqualTo(0600);
    }

    @Test
    void a_closed_descriptor_is_of_no_use() throws IOException {
        Fd descriptor = Fd.openDirectory(directory);
        descriptor.close();

        assertThat(descriptor.isOpen()).isFalse();
        assertThatIllegalStateException().isThrownBy(descriptor::number).withMessageContaining(directory.toString());
        assertThatIllegalStateException().isThrownBy(() -> Sync.fsync(descriptor));
    }

    @Test
    void closing_twice_does_not_close_the_next_file_of_that_number() throws IOException {
        Fd first = Fd.openDirectory(directory);
        int number = first.number();
        first.close();
        try (Fd second = Fd.openDirectory(directory)) {
            assertThat(second.number()).isEqualTo(number);
            first.close();

            Sync.fsync(second);
        }
    }

    @Test
    void of_many_threads_that_close_only_one_does() throws Exception {
        Fd descriptor = Fd.openDirectory(directory);
        CountDownLatch start = new CountDownLatch(1);
        try (var threads = Executors.newFixedThreadPool(4)) {
            var closings = IntStream.range(0, 4)
                    .mapToObj(thread -> threads.submit(() -> {
                        start.await();
                        descriptor.close();
                        return null;
                    }))
                    .toList();
            start.countDown();
            for (var closing : closings) {
                closing.get();
            }
        }
        assertThat(descriptor.isOpen()).isFalse();
    }

    @Test
    void a_path_descriptor_cannot_be_synced() throws IOException {
        try (Fd descriptor = Fd.openPath(directory)) {
            assertErrno(Errno.EBADF, () -> Sync.syncfs(descriptor));
        }
    }

    @Test
    void a_directory_can_be_synced() throws IOException {
        try (Fd descriptor = Fd.openDirectory(directory)) {
            Sync.fsync(descriptor);
            Sync.syncfs(descriptor);
        }
    }

    @Test
    void a_lock_is_held_by_one_open_file() throws IOException {
        Path file = directory.resolve("lock");
        Fd first = Fd.openReadWrite(file);
        try (Fd second = Fd.openReadWrite(file)) {
            assertThat(Flock.tryExclusive(first)).isTrue();
            assertThat(Flock.tryExclusive(first)).isTrue();
            assertThat(Flock.tryExclusive(second)).isFalse();
            first.close();
            assertThat(Flock.tryExclusive(second)).isTrue();
        }
    }
}
