package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertErrno;
import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class EntriesTest {
    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(ints = {0700, 0711, 0777, 01777, 02775})
    void a_new_directory_has_exactly_its_mode(int mode) throws IOException {
        Path created = directory.resolve("created");

        Entries.mkdir(created, mode);

        assertThat(Stat.of(created).permissions()).isEqualTo(mode);
        assertThat(Stat.of(created).isDirectory()).isTrue();
    }

    @Test
    void rename_replaces_unless_told_not_to() throws IOException {
        Path from = Files.writeString(directory.resolve("from"), "new");
        Path to = Files.writeString(directory.resolve("to"), "old");

        assertErrno(Errno.EEXIST, () -> Entries.renameNoReplace(from, to));
        Entries.rename(from, to);

        assertThat(to).hasContent("new");
        assertThat(from).doesNotExist();
    }

    @Test
    void an_entry_exists_also_as_a_link_to_nowhere() throws IOException {
        Path link = Files.createSymbolicLink(directory.resolve("link"), Path.of("/nowhere/at/all"));

        assertThat(Entries.exists(link)).isTrue();
        assertThat(Entries.exists(directory.resolve("absent"))).isFalse();
        assertThat(Entries.exists(link.resolve("below"))).isFalse();
    }

    @Test
    void an_entry_that_cannot_be_asked_for_is_not_absent() {
        assertErrno(Errno.ENAMETOOLONG, () -> Entries.exists(directory.resolve("x".repeat(300))));
    }

    @Test
    void unlink_and_rmdir_take_each_their_kind() throws IOException {
        Path file = Files.createFile(directory.resolve("file"));
        Path subdirectory = Files.createDirectory(directory.resolve("subdirectory"));

        assertErrno(Errno.EISDIR, () -> Entries.unlink(subdirectory));
        assertErrno(Errno.ENOTDIR, () -> Entries.rmdir(file));
        Entries.unlink(file);
        Entries.rmdir(subdirectory);

        assertThat(directory).isEmptyDirectory();
    }

    @Test
    void stat_agrees_with_the_java_library() throws IOException {
        Path file = Files.writeString(directory.resolve("file"), "x".repeat(10_000));
        Files.createLink(directory.resolve("other name"), file);

        Stat stat = Stat.of(file);

        assertThat(stat.inode()).isEqualTo(Files.getAttribute(file, "unix:ino"));
        assertThat(stat.mode()).isEqualTo(Files.getAttribute(file, "unix:mode"));
        assertThat(stat.uid()).isEqualTo(Files.getAttribute(file, "unix:uid"));
        assertThat(stat.gid()).isEqualTo(Files.getAttribute(file, "unix:gid"));
        assertThat(stat.links()).isEqualTo(2);
        assertThat(stat.sizeBytes()).isEqualTo(10_000);
        assertThat(stat.isDirectory()).isFalse();
        try (Fd descriptor = Fd.openReadOnly(file)) {
            assertThat(Stat.of(descriptor)).isEqualTo(stat);
        }
    }

    @Test
    void a_symbolic_link_is_not_followed() throws IOException {
        Path link = Files.createSymbolicLink(directory.resolve("link"), directory);

        assertThat(Stat.of(link).isDirectory()).isFalse();
    }

    @Test
    void a_filesystem_has_as_much_room_as_the_java_library_says() throws IOException {
        FileSystemStat stat = FileSystemStat.of(directory);

        assertThat(stat.totalBytes()).isEqualTo(Files.getFileStore(directory).getTotalSpace());
        assertThat(stat.availableBytes()).isPositive().isLessThanOrEqualTo(stat.totalBytes());
        assertThat(stat.readOnly()).isFalse();
    }

    @Test
    void an_attribute_is_read_as_it_was_set() throws IOException {
        Path file = Files.createFile(directory.resolve("file"));
        byte[] value = "value".getBytes(StandardCharsets.UTF_8);

        assertThat(Xattr.get(file, "user.name")).isNull();
        Xattr.set(file, "user.name", value);
        assertThat(Xattr.get(file, "user.name")).isEqualTo(value);
        try (Fd descriptor = Fd.openReadOnly(file)) {
            Xattr.set(descriptor, "user.name", new byte[0]);
        }
        assertThat(Xattr.get(file, "user.name")).isEmpty();
        Xattr.remove(file, "user.name");
        assertThat(Xattr.get(file, "user.name")).isNull();
        assertErrno(Errno.ENODATA, () -> Xattr.remove(file, "user.name"));
    }
}
