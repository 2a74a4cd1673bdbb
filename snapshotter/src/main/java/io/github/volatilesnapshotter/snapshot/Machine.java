package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metadata.Upper;

/**
 * Where uppers live and when: what each new one is recorded with.
 *
 * @param bootId of the kernel that runs
 * @param superblock {@code major:minor} of the superblock on which the uppers lie
 */
record Machine(String bootId, String superblock) {
    /** There is one pool so far: the root. Records name it, so that more can come. */
    static final String POOL = "root";

    Upper newUpper(Role role) {
        return new Upper(role, POOL, bootId, superblock, 0);
    }
}
