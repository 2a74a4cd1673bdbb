package io.github.volatilesnapshotter.metadata;

/**
 * Where an active snapshot's upper lies, and the circumstances it was made under. A committed snapshot has none: its record
 * keeps only the pool.
 *
 * @param pool name of the pool that the upper was placed in
 * @param bootId {@code /proc/sys/kernel/random/boot_id} when it was made; under another one a volatile upper is worthless
 * @param superblock {@code major:minor} of the upper's filesystem, for example {@code 8:1}
 * @param generation how often the upper was thrown away and begun anew; from 0
 */
public record Upper(Role role, String pool, String bootId, String superblock, long generation) {
    public Upper {
        if (generation < 0) {
            throw new IllegalArgumentException("an upper's generation is never negative: " + generation);
        }
    }
}
