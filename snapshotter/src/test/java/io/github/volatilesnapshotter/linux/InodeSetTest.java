package io.github.volatilesnapshotter.linux;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.linux.InodeSet.Added;
import java.util.HashSet;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;

class InodeSetTest {
    private static final Device DEVICE = new Device(8, 1);

    private final InodeSet set = new InodeSet();

    @Test
    void an_inode_is_new_once_on_each_device() {
        assertThat(set.add(DEVICE, 1)).isEqualTo(Added.NEW);
        assertThat(set.add(DEVICE, 1)).isEqualTo(Added.KNOWN);
        assertThat(set.add(new Device(8, 2), 1)).isEqualTo(Added.NEW);
        assertThat(set.add(new Device(0, 1), 8)).isEqualTo(Added.NEW);
        assertThat(set.add(DEVICE, -1)).isEqualTo(Added.NEW);
        assertThat(set.add(DEVICE, -1)).isEqualTo(Added.KNOWN);
    }

    @Test
    void a_row_of_inodes_is_known_up_to_the_bound_and_the_rest_is_not() {
        for (int round = 0; round < 2; round++) {
            for (long inode = 1; inode <= 3L * InodeSet.MOST; inode++) {
                Added first = round == 0 ? Added.NEW : Added.KNOWN;
                assertThat(set.add(DEVICE, inode)).isEqualTo(inode <= InodeSet.MOST ? first : Added.NO_ROOM);
            }
        }
    }

    @Test
    void random_inodes_are_told_apart_as_by_a_set_of_objects() {
        long seed = System.nanoTime();
        Random random = new Random(seed);
        Set<String> known = new HashSet<>();
        for (int each = 0; each < InodeSet.MOST; each++) {
            Device device = new Device(0, random.nextInt(3));
            long inode = random.nextBoolean() ? 1 + random.nextInt(20_000) : (1L + random.nextInt(20_000)) << 40;
            assertThat(set.add(device, inode))
                    .as("seed %d", seed)
                    .isEqualTo(known.add(device + " " + inode) ? Added.NEW : Added.KNOWN);
        }
    }

    @Test
    void an_inode_that_no_file_has_is_not_kept() {
        assertThat(set.add(DEVICE, 0)).isEqualTo(Added.NO_ROOM);
    }
}
