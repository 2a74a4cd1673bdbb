package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

@Tag("kernel")
@ParameterizedClass
@EnumSource(Disk.FileSystem.class)
class FileHandlesTest {
    @Parameter
    Disk.FileSystem fileSystem;

    @AutoClose
    FaultyDisk disk;

    private Fd root;

    @BeforeEach
    void make_the_disk() throws IOException {
        disk = FaultyDisk.create(fileSystem);
        root = Fd.openDirectory(disk.root());
    }

    /** Before the disk, which could not be unmounted while it is open. */
    @AfterEach
    void close_the_root() {
        root.close();
    }

    @Test
    void a_file_in_use_has_its_path() throws IOException {
        Path file = file("directory/täglich (deleted)");

        assertThat(nameOf(Stat.of(file).inode())).isEqualTo(new InodeName.Known(file.toString()));
    }

    @Test
    void a_file_with_an_older_name_that_is_gone_has_another_or_none() throws IOException {
        Path file = file("directory/old");
        Path link = Files.createLink(disk.root().resolve("link"), file);
        Files.delete(file);
        // Looked at by its name, so that the kernel has it in memory.
        long inode = Stat.of(link).inode();

        assertThat(nameOf(inode)).isIn(new InodeName.Known(link.toString()), new InodeName.Unknown());
    }

    @Test
    void a_directory_has_its_path_even_after_the_kernel_forgot_it() throws IOException {
        Path directory = Files.createDirectories(disk.root().resolve("a/b"));
        long inode = Stat.of(directory).inode();
        disk.syncfs();
        disk.dropCaches();

        assertThat(nameOf(inode)).isEqualTo(new InodeName.Known(directory.toString()));
    }

    @Test
    void a_file_that_the_kernel_forgot_has_no_name_to_give() throws IOException {
        long inode = Stat.of(file("directory/cold")).inode();
        disk.syncfs();
        disk.dropCaches();

        assertThat(nameOf(inode)).isEqualTo(new InodeName.Unknown());
    }

    @Test
    void a_deleted_file_that_is_still_open_is_said_to_be_deleted() throws IOException {
        Path file = file("directory/open");
        try (Fd _ = Fd.openReadOnly(file)) {
            long inode = Stat.of(file).inode();
            Files.delete(file);

            assertThat(nameOf(inode)).isEqualTo(new InodeName.Deleted(file.toString()));
        }
    }

    @Test
    void a_file_that_is_gone_has_no_path() throws IOException {
        Path file = file("directory/gone");
        long inode = Stat.of(file).inode();
        Files.delete(file);
        disk.syncfs();
        disk.dropCaches();

        assertThat(nameOf(inode))
                .isEqualTo(fileSystem == Disk.FileSystem.BTRFS ? new InodeName.Unknown() : new InodeName.Deleted(""));
    }

    @Test
    void a_subvolume_of_btrfs_has_inodes_of_its_own() throws IOException {
        if (fileSystem != Disk.FileSystem.BTRFS) {
            return;
        }
        Path subvolume = disk.root().resolve("subvolume");
        Command.run("btrfs", "subvolume", "create", subvolume.toString());
        Path outside = file("outside");
        Path inside = Files.createFile(subvolume.resolve("inside"));
        assertThat(Stat.of(inside).inode()).isEqualTo(Stat.of(outside).inode());

        try (Fd directory = Fd.openDirectory(subvolume)) {
            assertThat(FileHandles.nameOf(directory, "btrfs", Stat.of(inside).inode()))
                    .isEqualTo(new InodeName.Known(inside.toString()));
        }
        assertThat(nameOf(Stat.of(outside).inode())).isEqualTo(new InodeName.Known(outside.toString()));
    }

    @Test
    void of_an_unknown_filesystem_nothing_is_said() throws IOException {
        assertThat(FileHandles.nameOf(root, "tmpfs", 2)).isEqualTo(new InodeName.Unknown());
    }

    private Path file(String name) throws IOException {
        Path file = disk.root().resolve(name);
        Files.createDirectories(file.getParent());
        return Files.writeString(file, "content");
    }

    private InodeName nameOf(long inode) throws SyscallException {
        return FileHandles.nameOf(root, fileSystem.kernelName(), inode);
    }
}
