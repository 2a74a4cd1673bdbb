package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.crash.Invariants.DiskState;
import io.github.volatilesnapshotter.crash.Ledger.Crash;
import io.github.volatilesnapshotter.crash.Ledger.Expected;
import io.github.volatilesnapshotter.crash.Violation.Kind;
import io.github.volatilesnapshotter.lab.Disk.FileSystem;
import io.github.volatilesnapshotter.lab.DiskImage;
import io.github.volatilesnapshotter.lab.FuseDisk;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/**
 * Loads a snapshotter on a disk with a write cache, takes images of what a power cut at random moments would leave, and then, one
 * image after the other, mounts it, starts the snapshotter on it as after the next boot, and checks every invariant.
 */
final class PowerCuts {
    // How much is acknowledged between two images: a busy machine takes longer for it.
    private static final int FEWEST_CHANGES = 5;
    private static final int MOST_CHANGES = 80;
    private static final int CHANGES_BEFORE_FIRST = 100;
    private static final long LONGEST_WAIT_MILLIS = 10_000;
    // Otherwise each image would be of a moment at which an answer has just come.
    private static final int LONGEST_MORE_MILLIS = 30;
    private static final int LOAD_AFTER_CUT_MILLIS = 100;

    private final FileSystem fileSystem;
    private final Peer.Kind kind;
    private final String[] flags;
    private final Load.Settings load;
    private final long seed;
    private final Random random;
    private final Path directory;

    private final List<String> violations = new ArrayList<>();
    private final Map<Kind, Integer> counts = new EnumMap<>(Kind.class);
    private int loads;
    private int cuts;
    private int damagedCuts;
    private long calls;
    private long layers;
    private long actives;

    /**
     * Of one snapshotter on one file system.
     *
     * @param directory for the images, which take some hundred MiB each until they are checked
     * @param flags of our daemon
     */
    PowerCuts(FileSystem fileSystem, Peer.Kind kind, Load.Settings load, long seed, Path directory, String... flags) {
        this.fileSystem = fileSystem;
        this.kind = kind;
        this.flags = flags;
        this.load = load;
        this.seed = seed;
        this.random = new Random(seed);
        this.directory = directory;
    }

    /** One image, and what was acknowledged before it and begun after it. */
    private record Cut(int number, Path image, long certainUntil, long possibleUntil) {}

    /** Loads a snapshotter on a new disk, and checks as many images of it. */
    void run(int images) throws IOException, InterruptedException {
        loads++;
        Ledger ledger = new Ledger();
        for (Cut cut : loadAndCut(ledger, images)) {
            int before = violations.size();
            check(cut, ledger.expected(Crash.POWER_CUT, cut.certainUntil(), cut.possibleUntil()));
            damagedCuts += violations.size() > before ? 1 : 0;
            Files.delete(cut.image());
        }
    }

    private List<Cut> loadAndCut(Ledger ledger, int images) throws IOException, InterruptedException {
        List<Cut> taken = new ArrayList<>();
        Path state = directory.resolve("state-" + loads);
        try (FuseDisk disk = FuseDisk.createWithWriteCache(fileSystem);
                Peer peer = peer(disk.root(), state)) {
            peer.start();
            try (Load running = new Load(peer, ledger, load, seed * 1_000 + loads)) {
                running.start();
                boolean hasEnded = awaitChanges(running, ledger, CHANGES_BEFORE_FIRST);
                while (taken.size() < images && !hasEnded) {
                    hasEnded = awaitChanges(running, ledger, random.nextInt(FEWEST_CHANGES, MOST_CHANGES));
                    taken.add(cut(disk, ledger));
                }
                running.stop();
                calls += running.calls();
                running.complaints().forEach(complaint -> violated(new Violation(Kind.REFUSED, complaint)));
                if (hasEnded) {
                    violated(new Violation(Kind.REFUSED, "the load ended by itself: " + peer.logTail()));
                }
            } finally {
                peer.kill();
                // The sentinel has its layers on the disk, and holds it.
                Traces.unmountBelow(state);
            }
        }
        return taken;
    }

    /** Whether the load has ended. */
    private boolean awaitChanges(Load running, Ledger ledger, int changes) throws InterruptedException {
        long enough = ledger.acknowledged() + changes;
        long deadlineNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(LONGEST_WAIT_MILLIS);
        while (ledger.acknowledged() < enough && System.nanoTime() < deadlineNanos) {
            if (running.awaitEnd(1)) {
                return true;
            }
        }
        return running.awaitEnd(random.nextInt(LONGEST_MORE_MILLIS));
    }

    private Cut cut(FuseDisk disk, Ledger ledger) throws IOException {
        int number = ++cuts;
        Path image = directory.resolve("image-" + number);
        long certainUntil = ledger.now();
        disk.writeImage(image, random.nextLong());
        return new Cut(number, image, certainUntil, ledger.now());
    }

    private Peer peer(Path disk, Path state) throws IOException {
        Path root = disk.resolve("root");
        return Peer.of(kind, root, state).with(flags);
    }

    private void check(Cut cut, Expected expected) throws IOException, InterruptedException {
        Path bootId = Files.writeString(directory.resolve("boot-id"), UUID.randomUUID() + "\n");
        try (DiskImage image = DiskImage.mount(cut.image(), fileSystem, directory.resolve("mnt"));
                Peer peer = peer(image.root(), directory.resolve("cut-" + cut.number()))
                        .afterBoot(bootId)) {
            peer.start();
            check(cut, expected, peer);
        } catch (IOException e) {
            violated(cut, new Violation(Kind.NO_START, e.toString()));
        }
    }

    private void check(Cut cut, Expected expected, Peer peer) throws IOException, InterruptedException {
        try (Client client = peer.connect()) {
            Invariants.Report report = new Invariants(
                            peer, client, expected, Crash.POWER_CUT, DiskState.WORKS, Map.of(), Meddling.NONE)
                    .check();
            report.violations().forEach(violation -> violated(cut, violation));
            layers += report.layers();
            actives += report.poisoned().size();
            if (peer.isOurs()) {
                use(cut, peer, client, report);
            }
        } catch (StatusRuntimeException e) {
            violated(cut, new Violation(Kind.UNUSABLE, "a check was answered " + e.getStatus()));
        }
    }

    /** It serves: what survived is used as it may be, and a short load of its own finds nothing wrong. */
    private void use(Cut cut, Peer peer, Client client, Invariants.Report report)
            throws IOException, InterruptedException {
        Ledger ledger = new Ledger();
        ledger.settle(report.found());
        new Survivors(client, ledger, new Random(seed + cut.number()))
                .use(peer, report.poisoned())
                .forEach(violation -> violated(cut, violation));
        try (Load running = new Load(peer, ledger, load, seed * 1_000 + 500 + cut.number())) {
            running.start();
            boolean hasEnded = running.awaitEnd(LOAD_AFTER_CUT_MILLIS);
            running.stop();
            running.complaints().forEach(complaint -> violated(cut, new Violation(Kind.REFUSED, complaint)));
            if (hasEnded) {
                violated(cut, new Violation(Kind.REFUSED, "the load ended by itself: " + peer.logTail()));
            }
        }
    }

    private void violated(Cut cut, Violation violation) {
        violated("cut " + cut.number(), violation);
    }

    private void violated(Violation violation) {
        violated("load " + loads, violation);
    }

    private void violated(String where, Violation violation) {
        counts.merge(violation.kind(), 1, Integer::sum);
        violations.add("seed " + seed + " " + where + ": " + violation);
    }

    /** One line each, with the seed and the number of the cut. */
    List<String> violations() {
        return violations;
    }

    /** How many things of this kind were wrong. */
    int count(Kind kind) {
        return counts.getOrDefault(kind, 0);
    }

    /** What was seen, in words. */
    String summary() {
        String wrong = counts.entrySet().stream()
                .map(counted -> counted.getValue() + " " + counted.getKey().words())
                .collect(Collectors.joining(", "));
        return kind + " on " + fileSystem + ": " + cuts + " cuts, " + calls + " answers, " + layers
                + " layers compared, " + actives + " actives of the boot before; violated in " + damagedCuts + " cuts"
                + (wrong.isEmpty() ? "" : ": " + wrong);
    }
}
