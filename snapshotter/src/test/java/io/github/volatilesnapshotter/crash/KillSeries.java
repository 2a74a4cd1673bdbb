package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import java.io.IOException;
import java.nio.file.Path;

/** Any number of rounds of one kind. Each root serves for some of them, on a disk of its own. */
final class KillSeries {
    private static final int ROUNDS_OF_A_ROOT = 25;
    private static final int ROUNDS_OF_A_FAILING_ROOT = 4;
    private static final int CLIENTS = 4;
    private static final int LAYERS_OF_A_CLIENT = 6;

    private KillSeries() {}

    static long newSeed() {
        return System.currentTimeMillis() % 1_000_000;
    }

    /** Our daemon, on disks that work. */
    static Tally kill(Path directory, int rounds, long seed) throws IOException, InterruptedException {
        return run(Peer.Kind.OURS, directory, rounds, rounds, seed, false);
    }

    /**
     * Our daemon, on disks that fail shortly before the kill.
     *
     * @param most rounds, as long as there is a point of a load at which no daemon has died: which one comes on a failing disk is chance
     */
    static Tally killWhileTheDiskFails(Path directory, int rounds, int most, long seed)
            throws IOException, InterruptedException {
        return run(Peer.Kind.OURS, directory, rounds, most, seed, true);
    }

    /** The stock snapshotter, on disks that work. */
    static Tally killStock(Path directory, int rounds, long seed) throws IOException, InterruptedException {
        return run(Peer.Kind.STOCK, directory, rounds, rounds, seed, false);
    }

    private static Tally run(Peer.Kind kind, Path directory, int rounds, int most, long seed, boolean mayFail)
            throws IOException, InterruptedException {
        Tally tally = new Tally(kind + (mayFail ? " on failing disks" : ""));
        int ofARoot = mayFail ? ROUNDS_OF_A_FAILING_ROOT : ROUNDS_OF_A_ROOT;
        for (int done = 0; done < rounds || (done < most && isOneLeft(tally)); done += ofARoot) {
            Path state = directory.resolve("state-" + done);
            Load.Settings load = new Load.Settings(CLIENTS, LAYERS_OF_A_CLIENT, mayFail);
            // Two kinds of failure: one that takes the file system's own blocks too, and one of data only.
            boolean failsForDataOnly = mayFail && (done / ofARoot) % 2 == 0;
            boolean hasSmallLog = (done / ofARoot) % 2 == 1;
            try (Disk disk = failsForDataOnly
                            ? FuseDisk.create(Disk.FileSystem.EXT4)
                            : FaultyDisk.create(Disk.FileSystem.EXT4);
                    Peer peer = Peer.of(kind, disk.root().resolve("root"), state);
                    KillRounds run = new KillRounds(peer, disk, load, hasSmallLog, seed + done, tally)) {
                run.run(Math.min(ofARoot, (done < rounds ? rounds : most) - done));
            }
        }
        return tally;
    }

    private static boolean isOneLeft(Tally tally) {
        return !tally.neverReached(KillRounds.OF_LOADS).isEmpty();
    }
}
