package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.lab.Disk;
import io.github.volatilesnapshotter.lab.FaultyDisk;
import io.github.volatilesnapshotter.lab.FuseDisk;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Any number of rounds, of our daemon or of the stock snapshotter: what {@code deploy/kill-rounds} and the tests run. Each root serves
 * for some rounds, on a disk of its own.
 */
final class KillRoundsCommand {
    private static final int ROUNDS_OF_A_ROOT = 25;
    private static final int ROUNDS_OF_A_FAILING_ROOT = 4;
    private static final int CLIENTS = 4;
    private static final int LAYERS_OF_A_CLIENT = 6;

    private KillRoundsCommand() {}

    public static void main(String[] arguments) throws Exception {
        int rounds = Integer.parseInt(arguments[0]);
        long seed = arguments.length > 1 ? Long.parseLong(arguments[1]) : newSeed();
        Path directory = Files.createTempDirectory("kill-rounds-");
        System.out.println("seed " + seed + ", logs below " + directory);
        boolean isClean = true;
        for (String what :
                arguments.length > 2 ? arguments[2].split(",", -1) : new String[] {"kill", "errors", "stock"}) {
            int share = what.equals("kill") ? rounds : Math.max(1, rounds / 8);
            Tally tally = switch (what) {
                case "kill" -> kill(directory.resolve(what), share, seed);
                case "errors" -> killWhileTheDiskFails(directory.resolve(what), share, seed);
                default -> killStock(directory.resolve(what), share, seed);
            };
            System.out.println(tally.summary());
            tally.violations().forEach(System.out::println);
            isClean &= what.equals("stock") || tally.violations().isEmpty();
        }
        System.exit(isClean ? 0 : 1);
    }

    static long newSeed() {
        return System.currentTimeMillis() % 1_000_000;
    }

    /** Our daemon, on disks that work. */
    static Tally kill(Path directory, int rounds, long seed) throws IOException, InterruptedException {
        return run(Peer.Kind.OURS, directory, rounds, seed, false);
    }

    /** Our daemon, on disks that fail shortly before the kill. */
    static Tally killWhileTheDiskFails(Path directory, int rounds, long seed) throws IOException, InterruptedException {
        return run(Peer.Kind.OURS, directory, rounds, seed, true);
    }

    /** The stock snapshotter, on disks that work. */
    static Tally killStock(Path directory, int rounds, long seed) throws IOException, InterruptedException {
        return run(Peer.Kind.STOCK, directory, rounds, seed, false);
    }

    private static Tally run(Peer.Kind kind, Path directory, int rounds, long seed, boolean mayFail)
            throws IOException, InterruptedException {
        Tally tally = new Tally(kind + (mayFail ? " on failing disks" : ""));
        int ofARoot = mayFail ? ROUNDS_OF_A_FAILING_ROOT : ROUNDS_OF_A_ROOT;
        for (int done = 0; done < rounds; done += ofARoot) {
            Path state = directory.resolve("state-" + done);
            Load.Settings load = new Load.Settings(CLIENTS, LAYERS_OF_A_CLIENT, mayFail);
            // Two kinds of failure: one that takes the file system's own blocks too, and one of data only.
            boolean failsForDataOnly = mayFail && (done / ofARoot) % 2 == 0;
            try (Disk disk = failsForDataOnly
                            ? FuseDisk.create(Disk.FileSystem.EXT4)
                            : FaultyDisk.create(Disk.FileSystem.EXT4);
                    Peer peer = Peer.of(kind, disk.root().resolve("root"), state);
                    KillRounds run = new KillRounds(peer, disk, load, seed + done, tally)) {
                run.run(Math.min(ofARoot, rounds - done));
            }
        }
        return tally;
    }
}
