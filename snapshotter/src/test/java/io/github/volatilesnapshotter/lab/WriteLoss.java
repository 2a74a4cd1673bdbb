package io.github.volatilesnapshotter.lab;

import java.util.SplittableRandom;
import java.util.random.RandomGenerator;

/**
 * Which writes a power cut leaves of those that were not flushed: some whole, some not at all, some in part. A seed decides, also
 * how likely each is: now and then nearly everything is there, or nearly nothing.
 */
final class WriteLoss {
    private static final int[] PERCENT_KEPT = {10, 50, 50, 90};
    private static final int PERCENT_TORN = 40;

    private final long seed;
    private final int percentKept;

    WriteLoss(long seed) {
        this.seed = seed;
        this.percentKept = PERCENT_KEPT[new SplittableRandom(seed).nextInt(PERCENT_KEPT.length)];
    }

    /** Whether a sector of a write is there; always the same answer. */
    boolean keeps(long write, long sector) {
        RandomGenerator ofWrite = new SplittableRandom(seed + 31 * write);
        boolean isTorn = ofWrite.nextInt(100) < PERCENT_TORN;
        boolean isKept = ofWrite.nextInt(100) < percentKept;
        return isTorn ? new SplittableRandom(ofWrite.nextLong() + sector).nextInt(100) < percentKept : isKept;
    }
}
