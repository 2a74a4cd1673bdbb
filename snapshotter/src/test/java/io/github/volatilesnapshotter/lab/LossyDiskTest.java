package io.github.volatilesnapshotter.lab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** A disk with a write cache tells the truth: it keeps what was flushed, and loses something else. */
@Tag("kernel")
@ParameterizedClass
@EnumSource(
        value = FileSystem.class,
        names = {"EXT4", "XFS", "BTRFS"})
class LossyDiskTest {
    private static final int IMAGES = 6;
    private static final int WRITERS = 3;
    private static final int FILES_BETWEEN_IMAGES = 40;
    private static final Duration BOUND = Duration.ofSeconds(30);

    @TempDir
    private Path images;

    @Parameter
    FileSystem fileSystem;

    @AutoClose
    FuseDisk disk;

    @BeforeEach
    void make_the_disk() throws IOException {
        disk = FuseDisk.createWithWriteCache(fileSystem);
    }

    @Test
    void a_program_that_fsyncs_its_files_and_their_directory_loses_nothing() throws Exception {
        List<Set<String>> acknowledged = imagesDuring(Program.FSYNCS);

        for (int image = 0; image < IMAGES; image++) {
            assertThat(damagedIn(image, acknowledged.get(image))).isEmpty();
        }
    }

    @Test
    void a_program_that_does_not_loses_something() throws Exception {
        List<Set<String>> acknowledged = imagesDuring(Program.DOES_NOT);

        int damaged = 0;
        for (int image = 0; image < IMAGES; image++) {
            damaged += damagedIn(image, acknowledged.get(image)).size();
        }
        assertThat(damaged).isPositive();
    }

    @Test
    void what_has_come_to_the_disk_and_was_not_flushed_is_there_in_part() throws IOException {
        int size = 4 << 20;
        Path file = disk.root().resolve("file");
        Files.write(file, bytes(size, 1));
        Disk.fsync(file);
        Path later = Files.write(images.resolve("later"), bytes(size, 2));
        Command.run("dd", "if=" + later, "of=" + file, "bs=1M", "oflag=direct", "conv=notrunc");

        Set<Byte> found = new HashSet<>();
        for (int seed = 0; seed < IMAGES; seed++) {
            disk.writeImage(images.resolve("image-" + seed), seed);
        }
        leaveTheDisk();
        for (int seed = 0; seed < IMAGES; seed++) {
            try (DiskImage image = mount(seed)) {
                for (byte value : Files.readAllBytes(image.root().resolve("file"))) {
                    found.add(value);
                }
            }
        }

        // btrfs copies: without a flush no tree leads to the new data.
        assertThat(found).isEqualTo(fileSystem == FileSystem.BTRFS ? Set.of((byte) 1) : Set.of((byte) 1, (byte) 2));
    }

    @Test
    void without_a_write_cache_there_is_no_image() throws IOException {
        try (FuseDisk plain = FuseDisk.create(fileSystem)) {
            assertThatThrownBy(() -> plain.writeImage(images.resolve("image"), 1))
                    .isInstanceOf(IllegalStateException.class);
        }
    }

    private enum Program {
        FSYNCS,
        DOES_NOT
    }

    /** What each image must have, if the program does as it should. */
    private List<Set<String>> imagesDuring(Program program) throws Exception {
        Set<String> written = new ConcurrentSkipListSet<>();
        AtomicBoolean isOver = new AtomicBoolean();
        List<Set<String>> acknowledged = new ArrayList<>();
        List<Thread> writers = new ArrayList<>();
        for (int writer = 0; writer < WRITERS; writer++) {
            Path directory = Files.createDirectory(disk.root().resolve("writer-" + writer));
            Disk.fsync(disk.root());
            writers.add(Thread.ofPlatform().start(() -> run(program, directory, written, isOver)));
        }
        try {
            for (int image = 0; image < IMAGES; image++) {
                int before = written.size();
                await().atMost(BOUND)
                        .pollInterval(Duration.ofMillis(1))
                        .until(() -> written.size() >= before + FILES_BETWEEN_IMAGES);
                acknowledged.add(new HashSet<>(written));
                disk.writeImage(images.resolve("image-" + image), image);
            }
        } finally {
            isOver.set(true);
            for (Thread writer : writers) {
                writer.join();
            }
        }
        leaveTheDisk();
        return acknowledged;
    }

    /** An image of btrfs can't be mounted beside the disk. */
    private void leaveTheDisk() throws IOException {
        disk.close();
    }

    private static void run(Program program, Path directory, Set<String> written, AtomicBoolean isOver) {
        try {
            for (int number = 0; !isOver.get() && number < 2_000; number++) {
                Path file = directory.resolve(Integer.toString(number));
                String name = directory.getFileName() + "/" + number;
                Files.write(file, content(name));
                if (program == Program.FSYNCS) {
                    Disk.fsync(file);
                    Disk.fsync(directory);
                }
                written.add(name);
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static byte[] content(String name) {
        Random random = new Random(name.hashCode());
        byte[] content = new byte[1 + random.nextInt(60_000)];
        random.nextBytes(content);
        return content;
    }

    private List<String> damagedIn(int number, Set<String> names) throws IOException {
        assertThat(names).isNotEmpty();
        try (DiskImage image = mount(number)) {
            List<String> damaged = new ArrayList<>();
            for (String name : names) {
                Path file = image.root().resolve(name);
                if (!Files.exists(file) || !Arrays.equals(Files.readAllBytes(file), content(name))) {
                    damaged.add(name);
                }
            }
            return damaged;
        }
    }

    private DiskImage mount(int number) throws IOException {
        return DiskImage.mount(images.resolve("image-" + number), fileSystem, images.resolve("mnt"));
    }

    private static byte[] bytes(int size, int value) {
        byte[] content = new byte[size];
        Arrays.fill(content, (byte) value);
        return content;
    }
}
