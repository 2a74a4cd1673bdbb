package io.github.volatilesnapshotter.linux;

/**
 * Inodes that were met, 16 bytes for each place and no object: a tree may have millions of files that have several names. Holds at most
 * {@value #MOST} of them, in at most 1 MiB.
 */
final class InodeSet {
    static final int MOST = 1 << 15;
    private static final int FEWEST_PLACES = 1 << 6;

    /** What became of an inode that was to be added. */
    enum Added {
        NEW,
        KNOWN,
        /** Not known, and there is no room for it. */
        NO_ROOM
    }

    /** Device and inode by turns, twice as many places as inodes at least; free where the inode is 0, which no file has. */
    private long[] places = new long[2 * FEWEST_PLACES];

    private int size;

    Added add(Device device, long inode) {
        long packed = ((long) device.major() << Integer.SIZE) | Integer.toUnsignedLong(device.minor());
        int place = placeOf(packed, inode);
        if (inode != 0 && places[place + 1] == inode) {
            return Added.KNOWN;
        }
        if (inode == 0 || size == MOST) {
            return Added.NO_ROOM;
        }
        put(place, packed, inode);
        size++;
        if (4 * size > places.length) {
            grow();
        }
        return Added.NEW;
    }

    private void put(int place, long device, long inode) {
        places[place] = device;
        places[place + 1] = inode;
    }

    /** Where it is, or would be. */
    private int placeOf(long device, long inode) {
        // Numbers of inodes come in rows: multiplied by the golden ratio they lie apart.
        long hash = (inode ^ Long.rotateLeft(device, Integer.SIZE)) * 0x9E3779B97F4A7C15L;
        int mask = places.length - 1;
        int place = ((int) (hash >>> Integer.SIZE) << 1) & mask;
        while (places[place + 1] != 0 && (places[place + 1] != inode || places[place] != device)) {
            place = (place + 2) & mask;
        }
        return place;
    }

    private void grow() {
        long[] before = places;
        places = new long[2 * before.length];
        for (int place = 0; place < before.length; place += 2) {
            if (before[place + 1] != 0) {
                put(placeOf(before[place], before[place + 1]), before[place], before[place + 1]);
            }
        }
    }
}
