package io.github.volatilesnapshotter.superblock;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.lab.Command;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.MountedTempDirectory;
import io.github.volatilesnapshotter.superblock.FileSystemLog.Finding;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Which filesystems are trusted with a part of them being synced, asked of real ones. */
@Tag("kernel")
class FileSystemLogsTest {
    private static final long IMAGE_BYTES = 320L << 20;
    private static final String FOUND = "found";

    @RegisterExtension
    final MountedTempDirectory temp = new MountedTempDirectory();

    @ParameterizedTest(name = "{0}, {1}")
    @CsvSource(delimiter = '|', nullValues = "-", textBlock = """
                    mkfs.ext4 -q -F                                | loop               | found
                    mkfs.ext4 -q -F -b 1024                        | loop               | found
                    mkfs.ext4 -q -F -O bigalloc                    | loop               | found
                    mkfs.ext4 -q -F -O ^extent,^64bit              | loop               | found
                    mkfs.ext4 -q -F                                | loop,nodelalloc    | found
                    mkfs.ext4 -q -F                                | loop,nobarrier     | found
                    mkfs.ext4 -q -F -O ^has_journal                | loop               | it has no journal
                    mkfs.ext4 -q -F -O fast_commit                 | loop               | it makes fast commits, which leave out what else is in its journal
                    mkfs.ext4 -q -F                                | loop,data=writeback | it is mounted with data=writeback
                    mkfs.ext4 -q -F                                | loop,data=journal  | it is mounted with data=journal
                    mkfs.ext3 -q -F                                | loop               | of ext3 it is not known how to commit its log
                    mkfs.xfs -q -f                                 | loop               | found
                    mkfs.btrfs -q -f                               | loop               | found
                    mkfs.btrfs -q -f                               | loop,compress=zstd | found
                    mkfs.btrfs -q -f                               | loop,flushoncommit | it is mounted with flushoncommit, with which a commit writes everything
                    """)
    void a_log_is_found_only_where_a_commit_of_it_is_known_to_be_enough(String mkfs, String options, String expected)
            throws Exception {
        Path image = image();
        Command.run((mkfs + " " + image).split(" ", -1));
        Path mounted = mount(image, mkfs.contains("ext3") ? "ext3" : mkfs.split("[. ]", -1)[1], options);

        assertThat(find(mounted)).isEqualTo(expected);
        assertThat(mounted.resolve("log-check")).doesNotExist();
    }

    @Test
    void a_journal_on_another_device_is_not_trusted() throws Exception {
        Path journalImage = image();
        String journal = Command.run("losetup", "--find", "--show", journalImage.toString());
        try {
            Command.run("mke2fs", "-q", "-F", "-O", "journal_dev", "-b", "4096", journal);
            Path image = image();
            Command.run("mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "device=" + journal, image.toString());

            assertThat(find(mount(image, "ext4", "loop"))).isEqualTo("its journal is on another device");
        } finally {
            // It goes with its last user.
            Command.run("losetup", "--detach", journal);
        }
    }

    @Test
    void fast_commits_are_found_by_their_count_where_the_kernel_does_not_list_them() throws Exception {
        Path image = image();
        Command.run("mkfs.ext4", "-q", "-F", "-O", "fast_commit", image.toString());
        Path mounted = mount(image, "ext4", "loop");

        assertThat(FileSystemLogs.countsFastCommits(MountInfo.containing(mounted), mounted))
                .isTrue();
    }

    @Test
    void a_filesystem_without_a_log_is_not_trusted() throws Exception {
        Path mounted = temp.directory("tmpfs");
        Command.run("mount", "-t", "tmpfs", "tmpfs", mounted.toString());

        assertThat(find(mounted)).isEqualTo("of tmpfs it is not known how to commit its log");
    }

    @Test
    void an_xfs_on_several_devices_is_not_trusted() {
        assertThat(words(FileSystemLogs.ofXfs(List.of("rw", "logdev=/dev/sdb", "noquota"))))
                .isEqualTo("it is mounted with logdev=/dev/sdb");
        assertThat(words(FileSystemLogs.ofXfs(List.of("rw", "rtdev=/dev/sdc"))))
                .isEqualTo("it is mounted with rtdev=/dev/sdc");
    }

    @Test
    void a_btrfs_of_a_kernel_that_does_not_wait_for_ordered_extents_is_not_trusted() {
        assertThat(words(FileSystemLogs.ofBtrfs(List.of("rw"), KernelRelease.parse("5.15.0-100-generic"))))
                .isEqualTo("on btrfs it takes Linux 6.1, not 5.15.0-100-generic");
        assertThat(words(FileSystemLogs.ofBtrfs(List.of("rw"), KernelRelease.parse("6.1.0"))))
                .isEqualTo(FOUND);
    }

    private static String find(Path mounted) throws Exception {
        return words(FileSystemLogs.find(MountInfo.containing(mounted), mounted));
    }

    private static String words(Finding finding) {
        return switch (finding) {
            case Finding.Found _ -> FOUND;
            case Finding.Missing missing -> missing.reason();
        };
    }

    private Path image() throws IOException {
        Path image = Files.createTempFile(temp.path(), "disk", ".img");
        try (RandomAccessFile file = new RandomAccessFile(image.toFile(), "rw")) {
            file.setLength(IMAGE_BYTES);
        }
        return image;
    }

    private Path mount(Path image, String type, String options) throws IOException {
        Path mountPoint = temp.directory("mnt");
        Command.run("mount", "-t", type, "-o", options, image.toString(), mountPoint.toString());
        return mountPoint;
    }
}
