package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.linux.Device;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Stat;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.superblock.FailedFiles.Bounds;
import io.github.volatilesnapshotter.superblock.FailedFiles.Found;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** From inodes to names. */
@Tag("kernel")
@ParameterizedClass
@EnumSource(Disk.FileSystem.class)
class FailedFilesTest {
    @Parameter
    Disk.FileSystem fileSystem;

    @AutoClose
    FaultyDisk disk;

    private FailedFiles files;
    private Path upper;

    @BeforeEach
    void make_an_upper() throws IOException {
        disk = FaultyDisk.create(fileSystem);
        files = new FailedFiles(disk.root(), MountInfo.containing(disk.root()));
        upper = Files.createDirectories(disk.root().resolve("snapshots/1/fs"));
    }

    @Test
    void a_file_in_use_is_found_without_a_search() throws IOException {
        Path file = file("etc/hosts");

        assertThat(files.find(failures(inode(file)), List.of(), Bounds.DEFAULT))
                .containsExactly(new Found.At(inode(file), file.toString()));
    }

    @Test
    void a_file_that_the_kernel_forgot_is_found_by_a_search() throws IOException {
        Path other = Files.createDirectories(disk.root().resolve("snapshots/2/fs"));
        Path file = file("etc/hosts");
        Path second = file("var/log/messages");
        long inode = inode(file);
        long inodeOfSecond = inode(second);
        forget();

        assertThat(files.find(
                        failures(inode, inodeOfSecond),
                        List.of(disk.root().resolve("gone"), other, upper),
                        Bounds.DEFAULT))
                .containsExactly(new Found.At(inode, file.toString()), new Found.At(inodeOfSecond, second.toString()));
    }

    @Test
    void a_search_ends_at_its_bound() throws IOException {
        Path file = file("zzz/last");
        long inode = inode(file);
        for (int number = 0; number < 50; number++) {
            file("many/" + number);
        }
        forget();

        assertThat(files.find(failures(inode), List.of(upper), new Bounds(1, 60_000)))
                .containsExactly(new Found.Unknown(inode));
        forget();
        assertThat(files.find(failures(inode), List.of(upper), new Bounds(60_000, 0)))
                .containsExactly(new Found.Unknown(inode));
        forget();
        assertThat(files.find(failures(inode), List.of(upper), new Bounds(60_000, 60_000)))
                .containsExactly(new Found.At(inode, file.toString()));
    }

    @Test
    void a_deleted_file_is_said_to_be_deleted() throws IOException {
        Path file = file("tmp/scratch");
        long inode = inode(file);
        try (Fd _ = Fd.openReadOnly(file)) {
            Files.delete(file);

            assertThat(files.find(failures(inode), List.of(upper), Bounds.DEFAULT))
                    .containsExactly(new Found.Deleted(inode, file.toString()));
        }
    }

    @Test
    void each_is_named_once_and_no_more_than_sixteen() throws IOException {
        long inode = inode(file("etc/hosts"));
        long[] many = LongStream.concat(
                        LongStream.of(inode, inode, FailedWriteback.NO_INODE),
                        LongStream.range(1 << 20, (1 << 20) + 40))
                .toArray();

        List<Found> found = files.find(failures(many), List.of(), Bounds.DEFAULT);

        assertThat(found).hasSize(FailedFiles.MOST_FILES);
        assertThat(found.get(1)).isEqualTo(new Found.Metadata(FailedWriteback.NO_INODE));
        assertThat(found.get(2)).isIn(new Found.Deleted(1 << 20, ""), new Found.Unknown(1 << 20));
    }

    @Test
    void a_trees_own_inode_of_btrfs_is_metadata() {
        Found found = files.find(failures(1), List.of(), Bounds.DEFAULT).getFirst();

        assertThat(found instanceof Found.Metadata).isEqualTo(fileSystem == Disk.FileSystem.BTRFS);
    }

    @Test
    void nothing_fails_when_there_is_nothing_to_ask() throws IOException {
        FailedFiles ofNothing = new FailedFiles(disk.root().resolve("gone"), MountInfo.containing(disk.root()));
        Path file = file("etc/hosts");

        assertThat(ofNothing.find(failures(inode(file)), List.of(upper), Bounds.DEFAULT))
                .containsExactly(new Found.At(inode(file), file.toString()));
    }

    @Test
    void the_block_devices_of_a_mount_are_those_below_it() throws IOException {
        String number = Files.readString(
                        Path.of("/sys/class/block", disk.device().getFileName().toString(), "dev"))
                .strip();

        assertThat(BlockDevices.of(MountInfo.containing(disk.root()))).isEqualTo(Set.of(Device.parse(number)));
    }

    @Test
    void all_devices_of_a_btrfs_are_found() throws IOException {
        MountInfo mount = MountInfo.containing(disk.root());
        String number = Files.readString(
                        Path.of("/sys/class/block", disk.device().getFileName().toString(), "dev"))
                .strip();
        Path sysfs = Files.createDirectories(disk.root().resolve("sysfs"));
        for (String device : List.of(
                "other/devices/sda 8:0", "features/x/y 1:1", "this/devices/a " + number, "this/devices/b 259:3")) {
            String[] pathAndNumber = device.split(" ", 2);
            Path directory = Files.createDirectories(sysfs.resolve("fs/btrfs").resolve(pathAndNumber[0]));
            Files.writeString(directory.resolve("dev"), pathAndNumber[1] + "\n");
        }

        assertThat(BlockDevices.of(mount, sysfs))
                .isEqualTo(
                        fileSystem == Disk.FileSystem.BTRFS
                                ? Set.of(Device.parse(number), new Device(259, 3))
                                : Set.of(Device.parse(number)));
        assertThat(BlockDevices.of(mount, sysfs.resolve("nothing"))).isEqualTo(Set.of(Device.parse(number)));
    }

    private Path file(String name) throws IOException {
        Path file = upper.resolve(name);
        Files.createDirectories(file.getParent());
        return Files.writeString(file, "content");
    }

    private void forget() throws IOException {
        disk.syncfs();
        disk.dropCaches();
    }

    private static long inode(Path file) throws SyscallException {
        return Stat.of(file).inode();
    }

    private static List<FailedWriteback> failures(long... inodes) {
        return Arrays.stream(inodes)
                .mapToObj(inode -> new FailedWriteback(new Device(7, 0), inode, 0))
                .toList();
    }
}
