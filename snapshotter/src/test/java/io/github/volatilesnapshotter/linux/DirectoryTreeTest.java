package io.github.volatilesnapshotter.linux;

import static io.github.volatilesnapshotter.linux.KernelAssertions.assertNoDescriptorLeft;
import static io.github.volatilesnapshotter.linux.KernelAssertions.openDescriptors;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DirectoryTreeTest {
    private static final int DEEPER_THAN_PATH_MAX = 600;

    @TempDir
    Path directory;

    @Test
    void usage_counts_each_inode_once() throws Exception {
        Path root = Files.createDirectory(directory.resolve("root"));
        Path file = Files.writeString(root.resolve("file"), "x".repeat(100_000));
        Files.createLink(root.resolve("other name"), file);
        Path subdirectory = Files.createDirectory(root.resolve("subdirectory"));
        Files.createLink(subdirectory.resolve("third name"), file);
        Files.createSymbolicLink(subdirectory.resolve("link"), Path.of("/"));

        TreeUsage usage = DirectoryTree.usage(root, () -> false);

        assertThat(usage).isEqualTo(new TreeUsage(sizeBytesAsDuSays(root), 4));
    }

    /** Beyond those that are remembered, names count in parts. */
    @Test
    void usage_of_any_number_of_files_with_several_names_is_what_du_says() throws Exception {
        Path root = Files.createDirectory(directory.resolve("root"));
        int files = InodeSet.MOST + 7_000;
        for (int file = 0; file < files; file++) {
            Path parent = file % 1_000 == 0
                    ? Files.createDirectory(root.resolve("d" + file / 1_000))
                    : root.resolve("d" + file / 1_000);
            Path made = Files.write(parent.resolve("f" + file), new byte[file % 5]);
            for (int name = 0; name <= (file % 8 == 0 ? 1 : 0); name++) {
                Files.createLink(root.resolve("other name " + name + " of " + file), made);
            }
        }

        TreeUsage usage = DirectoryTree.usage(root, () -> false);

        assertThat(usage).isEqualTo(new TreeUsage(sizeBytesAsDuSays(root), 1 + (files + 999) / 1_000 + files));
    }

    @Test
    void usage_of_an_empty_directory_is_its_own_inode() throws IOException {
        assertThat(DirectoryTree.usage(directory, () -> false))
                .isEqualTo(new TreeUsage(Stat.of(directory).blocks512() * 512, 1));
    }

    @Test
    void usage_stops_when_nobody_wants_it_any_more() throws IOException {
        for (int file = 0; file < 10; file++) {
            Files.createFile(directory.resolve("file" + file));
        }
        AtomicInteger asked = new AtomicInteger();

        assertThatThrownBy(() -> DirectoryTree.usage(directory, () -> asked.incrementAndGet() == 5))
                .isInstanceOf(CancellationException.class);
        assertThat(asked).hasValue(5);
    }

    @Test
    void usage_leaves_out_what_vanishes_meanwhile() throws IOException {
        for (int each = 0; each < 10; each++) {
            Files.createDirectory(directory.resolve("directory" + each));
        }
        AtomicInteger asked = new AtomicInteger();

        TreeUsage usage = DirectoryTree.usage(directory, () -> {
            if (asked.incrementAndGet() == 4) {
                deleteAllBelow(directory);
            }
            return false;
        });

        assertThat(usage.inodes()).isEqualTo(1 + 3);
    }

    @Test
    void delete_takes_everything_and_follows_no_link() throws IOException {
        Path outside = Files.writeString(
                Files.createDirectory(directory.resolve("outside")).resolve("precious"), "kept");
        Path root = Files.createDirectories(directory.resolve("root/a/b/c"))
                .getParent()
                .getParent()
                .getParent();
        Files.createSymbolicLink(root.resolve("to directory"), outside.getParent());
        Files.createSymbolicLink(root.resolve("a/b/to file"), outside);
        Files.createLink(root.resolve("a/hard link"), outside);
        Files.writeString(root.resolve("a/b/c/file"), "gone");

        DirectoryTree.delete(root);

        assertThat(root).doesNotExist();
        assertThat(outside).hasContent("kept");
    }

    @Test
    void delete_of_a_link_leaves_what_it_leads_to() throws IOException {
        Path target = Files.createDirectory(directory.resolve("target"));
        Path link = Files.createSymbolicLink(directory.resolve("link"), target);

        DirectoryTree.delete(link);

        assertThat(Entries.exists(link)).isFalse();
        assertThat(target).isDirectory();
    }

    @Test
    void delete_of_nothing_is_fine() throws IOException {
        DirectoryTree.delete(directory.resolve("absent"));
    }

    @Test
    void names_that_are_not_utf8_are_counted_and_deleted() throws IOException {
        Path root = Files.createDirectory(directory.resolve("root"));
        try (Fd descriptor = Fd.openDirectory(root)) {
            for (int lead = 0x80; lead <= 0xff; lead++) {
                CString name = CString.ofBytes(new byte[] {'n', (byte) lead, '\n'});
                mkdirAt(descriptor, name);
                SystemCalls.openat(descriptor, name, OpenFlags.READ_ONLY).close();
            }
        }

        assertThat(DirectoryTree.usage(root, () -> false).inodes()).isEqualTo(1 + 128);
        DirectoryTree.delete(root);

        assertThat(root).doesNotExist();
    }

    @Test
    void a_tree_deeper_than_a_path_can_be_is_counted_and_deleted_with_few_descriptors() throws IOException {
        Path root = Files.createDirectory(directory.resolve("root"));
        long made = makeDeepTree(root);
        AtomicInteger mostOpen = new AtomicInteger();
        int openBefore = openDescriptors();

        TreeUsage usage = DirectoryTree.usage(root, () -> {
            mostOpen.accumulateAndGet(openDescriptors() - openBefore, Math::max);
            return false;
        });
        DirectoryTree.delete(root);

        assertThat(usage.inodes()).isEqualTo(made);
        assertThat(mostOpen.get()).isBetween(TreeWalk.MOST_OPEN, TreeWalk.MOST_OPEN + 10);
        assertThat(root).doesNotExist();
        assertNoDescriptorLeft(openBefore);
    }

    @Test
    void a_directory_of_many_batches_is_counted_and_deleted() throws IOException {
        Path root = Files.createDirectory(directory.resolve("root"));
        int directories = 3_000;
        for (int each = 0; each < directories; each++) {
            Files.createFile(Files.createDirectory(root.resolve("directory with a long name " + each))
                    .resolve("file"));
        }

        assertThat(DirectoryTree.usage(root, () -> false).inodes()).isEqualTo(1 + 2 * directories);
        DirectoryTree.delete(root);

        assertThat(root).doesNotExist();
    }

    @Test
    void a_directory_moved_away_during_the_walk_costs_only_its_own_surroundings() throws IOException {
        Path root = Files.createDirectory(directory.resolve("root"));
        Path middle = Files.createDirectories(root.resolve("a".repeat(10) + "/b/c"));
        Path deep = middle;
        for (int level = 0; level < 2 * TreeWalk.MOST_OPEN; level++) {
            deep = Files.createDirectory(deep.resolve("d"));
        }
        Path deepest = Files.createFile(deep.resolve("file"));
        AtomicInteger asked = new AtomicInteger();
        int untilTheDeepest = deepest.getNameCount() - root.getNameCount();

        TreeUsage usage = DirectoryTree.usage(root, () -> {
            if (asked.incrementAndGet() == untilTheDeepest) {
                rename(middle.resolve("d"), root.resolve("moved"));
            }
            return false;
        });

        assertThat(usage.inodes()).isEqualTo(1 + untilTheDeepest);
    }

    /** Each level has a file beside the next directory; names of 200 bytes, so that the path is far over 4096. */
    private static long makeDeepTree(Path root) throws IOException {
        CString name = CString.of("d".repeat(200));
        Fd current = Fd.openDirectory(root);
        for (int level = 0; level < DEEPER_THAN_PATH_MAX; level++) {
            mkdirAt(current, name);
            mkdirAt(current, CString.of("sibling"));
            Fd next = SystemCalls.openat(current, name, OpenFlags.READ_ONLY | OpenFlags.DIRECTORY);
            current.close();
            current = next;
        }
        current.close();
        return 1 + 2L * DEEPER_THAN_PATH_MAX;
    }

    private static void mkdirAt(Fd parent, CString name) {
        try (Arena arena = Arena.ofConfined()) {
            int result = LibC.mkdirat(arena.allocate(LibC.CALL_STATE), parent.number(), name.in(arena), 0700);
            assertThat(result).isZero();
        }
    }

    private static void deleteAllBelow(Path parent) {
        try (var entries = Files.list(parent)) {
            for (Path entry : entries.toList()) {
                DirectoryTree.delete(entry);
            }
        } catch (IOException failure) {
            throw new AssertionError(failure);
        }
    }

    private static void rename(Path from, Path to) {
        try {
            Entries.rename(from, to);
        } catch (SyscallException failure) {
            throw new AssertionError(failure);
        }
    }

    private static long sizeBytesAsDuSays(Path root) throws IOException, InterruptedException {
        Process du = new ProcessBuilder("du", "-s", "--block-size=1", root.toString()).start();
        String output = new String(du.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(du.waitFor(10, TimeUnit.SECONDS)).isTrue();
        return Long.parseLong(output.split("\t", 2)[0]);
    }
}
