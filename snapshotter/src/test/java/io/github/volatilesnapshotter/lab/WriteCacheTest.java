package io.github.volatilesnapshotter.lab;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.fail;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class WriteCacheTest {
    private static final int SECTOR = Disk.SECTOR_BYTES;
    private static final int SECTORS = 4 * SparseMemory.CHUNK_BYTES / SECTOR;
    private static final long BYTES = (long) SECTORS * SECTOR;
    private static final long ROOM = 64 << 20;
    private static final int SEEDS = 64;

    @TempDir
    private Path directory;

    private final AtomicInteger images = new AtomicInteger();
    private WriteCache cache;

    @BeforeEach
    void make_a_cache() {
        cache = cacheWithRoom(ROOM);
    }

    @Test
    void what_was_flushed_is_in_every_image() throws IOException {
        write(0, SECTORS, 1);
        cache.flush();

        for (int seed = 0; seed < SEEDS; seed++) {
            assertThat(image(seed)).containsOnly(1);
        }
    }

    @Test
    void what_was_not_flushed_is_in_some_images_not_in_others_and_in_some_in_part() throws IOException {
        write(0, SECTORS, 1);

        Set<String> found = new HashSet<>();
        for (int seed = 0; seed < SEEDS; seed++) {
            found.add(Arrays.stream(image(seed))
                    .distinct()
                    .sorted()
                    .boxed()
                    .toList()
                    .toString());
        }

        assertThat(found).containsExactlyInAnyOrder("[0]", "[0, 1]", "[1]");
    }

    @Test
    void any_of_several_writes_to_a_sector_may_be_the_last_that_is_there() throws IOException {
        write(0, SECTORS, 1);
        cache.flush();
        write(5, 1, 2);
        write(4, 3, 3);
        write(5, 1, 4);

        Set<Integer> found = new HashSet<>();
        for (int seed = 0; seed < SEEDS; seed++) {
            found.add(image(seed)[5]);
        }

        assertThat(found).containsExactlyInAnyOrder(1, 2, 3, 4);
    }

    @Test
    void the_same_seed_loses_the_same_writes() throws IOException {
        for (int i = 0; i < 20; i++) {
            write(i, 40, i + 1);
        }

        assertThat(image(7)).isEqualTo(image(7)).isNotEqualTo(image(8));
    }

    /** Against a list of what each sector may be. */
    @RepeatedTest(20)
    void an_image_has_in_each_sector_what_was_flushed_or_written_since(RepetitionInfo repetition) throws IOException {
        Random random = new Random(repetition.getCurrentRepetition());
        List<Set<Integer>> possible = new ArrayList<>();
        int[] latest = new int[SECTORS];
        for (int sector = 0; sector < SECTORS; sector++) {
            possible.add(new HashSet<>(Set.of(0)));
        }
        for (int value = 1; value < 400; value++) {
            if (random.nextInt(40) == 0) {
                cache.flush();
                for (int sector = 0; sector < SECTORS; sector++) {
                    possible.set(sector, new HashSet<>(Set.of(latest[sector])));
                }
            }
            int first = random.nextInt(SECTORS);
            int count = 1 + random.nextInt(Math.min(200, SECTORS - first));
            // Zeros are written as well, and are a hole at first.
            int written = random.nextInt(8) == 0 ? 0 : value;
            write(first, count, written);
            for (int sector = first; sector < first + count; sector++) {
                possible.get(sector).add(written);
                latest[sector] = written;
            }
            if (random.nextInt(20) == 0) {
                int[] image = image(random.nextLong());
                for (int sector = 0; sector < SECTORS; sector++) {
                    if (!possible.get(sector).contains(image[sector])) {
                        fail("sector %d is %d, may be %s", sector, image[sector], possible.get(sector));
                    }
                }
            }
        }
        assertThat(sectors(read())).isEqualTo(latest);
    }

    @Test
    void an_image_is_of_one_moment_while_the_disk_goes_on() throws Exception {
        // Each round is flushed, so that an image has two rounds at most, and the later one only from the first sector
        // on.
        AtomicInteger rounds = new AtomicInteger();
        Thread writer = Thread.ofPlatform().start(() -> {
            try {
                while (!Thread.currentThread().isInterrupted()) {
                    int round = rounds.incrementAndGet();
                    for (int sector = 0; sector < SECTORS; sector += 16) {
                        write(sector, 16, round);
                        cache.flush();
                    }
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        });
        try {
            for (int seed = 0; seed < 50; seed++) {
                int before = rounds.get();
                int[] image = image(seed);
                int after = rounds.get();

                assertThat(image[0]).isBetween(before - 1, after);
                int torn = 0;
                for (int sector = 16; sector < SECTORS; sector += 16) {
                    torn += image[sector] == image[sector - 16] ? 0 : 1;
                }
                assertThat(torn).isLessThanOrEqualTo(1);
                assertThat(image[0] - image[SECTORS - 16]).isBetween(0, 1);
            }
        } finally {
            writer.interrupt();
            writer.join();
        }
    }

    @Test
    void what_has_no_room_in_the_cache_is_stored_the_oldest_first() throws IOException {
        cache = cacheWithRoom(8 * SECTOR);
        write(0, SECTORS, 1);
        cache.flush();
        for (int sector = 0; sector < SECTORS; sector++) {
            write(sector, 1, 2);
        }

        for (int seed = 0; seed < SEEDS; seed++) {
            int[] image = image(seed);
            assertThat(Arrays.copyOf(image, SECTORS - 16)).containsOnly(2);
        }
    }

    @Test
    void an_image_of_an_empty_disk_takes_no_room() throws IOException {
        Path file = directory.resolve("empty");

        cache.writeImage(file, 1);

        assertThat(file).hasSize(BYTES);
        // 512-byte blocks: the last one of the file.
        assertThat(Command.run("stat", "--format=%b", file.toString())).isEqualTo("8");
    }

    private static WriteCache cacheWithRoom(long room) {
        return new WriteCache(new SparseMemory(BYTES), BYTES, room);
    }

    private void write(int firstSector, int count, int value) throws IOException {
        ByteBuffer content = ByteBuffer.allocate(count * SECTOR);
        while (content.hasRemaining()) {
            content.putInt(value);
        }
        cache.write(content.flip(), (long) firstSector * SECTOR);
    }

    private ByteBuffer read() {
        ByteBuffer content = ByteBuffer.allocate(Math.toIntExact(BYTES));
        cache.read(content, 0);
        return content.flip();
    }

    /** The value in each sector. */
    private int[] image(long seed) throws IOException {
        Path file = directory.resolve("image-" + images.incrementAndGet());
        cache.writeImage(file, seed);
        ByteBuffer content = ByteBuffer.wrap(Files.readAllBytes(file));
        Files.delete(file);
        assertThat(content.remaining()).isEqualTo(BYTES);
        return sectors(content);
    }

    private static int[] sectors(ByteBuffer content) {
        int[] values = new int[SECTORS];
        boolean isWhole = true;
        for (int sector = 0; sector < SECTORS; sector++) {
            values[sector] = content.getInt(sector * SECTOR);
            for (int within = 0; within < SECTOR; within += Integer.BYTES) {
                isWhole &= content.getInt(sector * SECTOR + within) == values[sector];
            }
        }
        assertThat(isWhole).as("whole sectors").isTrue();
        return values;
    }
}
