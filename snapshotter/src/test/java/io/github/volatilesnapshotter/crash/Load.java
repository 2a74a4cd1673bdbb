package io.github.volatilesnapshotter.crash;

import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind;
import io.github.volatilesnapshotter.proto.containerd.types.Mount;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/**
 * Several clients that ask for everything a snapshotter can do, in an order derived from a seed: Prepare of layers and of containers,
 * View, Mounts, Stat, List, Usage, Update, Commit, Commit on another parent, Remove and Cleanup. What they write into layers goes
 * straight into the upper directories, without a sync and without a mount of their own.
 *
 * <p>Each client owns the snapshots that it made, so that it knows what they must be; committed ones of others it uses as parents. It
 * goes on with what an earlier load has left in the ledger. It ends when it is told to, or when the snapshotter has gone.
 */
final class Load implements AutoCloseable {
    private static final String NAMESPACE = "crash";
    private static final long STOP_SECONDS = 120;
    private static final long PAUSE_AFTER_REFUSAL_MILLIS = 20;
    private static final int MOST_ACTIVES = 4;
    private static final int MOST_VIEWS = 2;
    private static final int MOST_COMPLAINTS = 20;

    /**
     * How much is asked.
     *
     * @param clients how many there are
     * @param mostLayers how many committed snapshots each client keeps; it removes one before it makes another
     * @param mayFail whether the disk fails on purpose: then a snapshot may be poisoned, and any request be refused for it
     */
    record Settings(int clients, int mostLayers, boolean mayFail) {}

    private final Peer peer;
    private final Ledger ledger;
    private final Settings settings;
    private final List<Worker> workers = new ArrayList<>();
    private final Map<String, Boolean> layers = new ConcurrentHashMap<>();
    private final ConcurrentLinkedQueue<String> complaints = new ConcurrentLinkedQueue<>();
    private final AtomicLong calls = new AtomicLong();
    private volatile boolean isStopping;

    /** @param seed of what the clients do; two loads on one root need different ones, which name their snapshots */
    Load(Peer peer, Ledger ledger, Settings settings, long seed) {
        this.peer = peer;
        this.ledger = ledger;
        this.settings = settings;
        for (int i = 0; i < settings.clients(); i++) {
            workers.add(new Worker(i, seed));
        }
        ledger.known().forEach((name, entry) -> {
            workers.get(Math.floorMod(name.hashCode(), workers.size())).own(name, entry);
            if (entry.kind() == Kind.COMMITTED) {
                layers.put(name, true);
            }
        });
    }

    /** Starts the clients. */
    void start() {
        workers.forEach(worker -> worker.thread.start());
    }

    /** Waits until the clients have ended by themselves, because the snapshotter has gone; whether they have within the time. */
    boolean awaitEnd(long millis) throws InterruptedException {
        long deadlineNanos = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(millis);
        for (Worker worker : workers) {
            long leftMillis = TimeUnit.NANOSECONDS.toMillis(deadlineNanos - System.nanoTime());
            worker.thread.join(Math.max(1, leftMillis));
            if (worker.thread.isAlive()) {
                return false;
            }
        }
        return true;
    }

    /** Ends each client after the request that it has under way, and returns when all have ended. */
    void stop() throws InterruptedException {
        isStopping = true;
        if (!awaitEnd(TimeUnit.SECONDS.toMillis(STOP_SECONDS))) {
            throw new IllegalStateException("clients have not ended within " + STOP_SECONDS + " s");
        }
    }

    /** Requests that were answered, with whatever status. */
    long calls() {
        return calls.get();
    }

    /** Answers that nobody should get, at most the first twenty of them. */
    List<String> complaints() {
        return List.copyOf(complaints);
    }

    /** As {@link #stop}. */
    @Override
    public void close() {
        try {
            stop();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while clients end", e);
        }
    }

    private void complain(String complaint) {
        if (complaints.size() < MOST_COMPLAINTS) {
            complaints.add(complaint);
        }
    }

    /** The snapshotter has gone. */
    private static final class GoneException extends Exception {
        private static final long serialVersionUID = 1;

        GoneException(Throwable cause) {
            super(cause);
        }
    }

    private static final class Owned {
        private final String name;
        private Entry entry;

        Owned(String name, Entry entry) {
            this.name = name;
            this.entry = entry;
        }
    }

    private final class Worker {
        private final int number;
        private final long seed;
        private final Random random;
        private final Thread thread;
        private final List<Owned> actives = new ArrayList<>();
        private final List<Owned> views = new ArrayList<>();
        private final List<Owned> committed = new CopyOnWriteArrayList<>();
        private int sequence;
        private Client client;

        Worker(int number, long seed) {
            this.number = number;
            this.seed = seed;
            this.random = new Random(seed * 31 + number);
            this.thread = Thread.ofPlatform().name("load-" + number).daemon().unstarted(this::run);
        }

        void own(String name, Entry entry) {
            switch (entry.kind()) {
                case ACTIVE -> actives.add(new Owned(name, entry));
                case VIEW -> views.add(new Owned(name, entry));
                default -> committed.add(new Owned(name, entry));
            }
        }

        private void run() {
            try (Client connected = peer.connect()) {
                client = connected;
                while (!isStopping) {
                    step();
                }
            } catch (GoneException _) {
                // As it should be: what was under way is open in the ledger.
            } catch (RuntimeException | Error e) {
                complain("client " + number + " of seed " + seed + " failed: " + e);
                throw e;
            }
        }

        private void step() throws GoneException {
            switch (random.nextInt(20)) {
                case 0, 1, 2, 3 -> prepare(false);
                case 4, 5 -> prepare(true);
                case 6, 7, 8, 9, 10 -> commitOne();
                case 11 -> view();
                case 12 -> look();
                case 13 -> list();
                case 14 -> update();
                case 15, 16 -> removeOne(actives);
                case 17 -> removeOne(views);
                case 18 -> removeLayer();
                default -> cleanup();
            }
        }

        private String key(String what) {
            return NAMESPACE + "/" + ++sequence + "/" + what + "-" + Long.toHexString(seed) + "-" + number + "-"
                    + sequence;
        }

        private void prepare(boolean isVolatile) throws GoneException {
            if (actives.size() >= MOST_ACTIVES) {
                commitOne();
                return;
            }
            // One without a parent may be put on one when it is committed, as containerd unpacks layers side by side.
            String parent = random.nextInt(3) == 0 ? "" : anyLayer();
            String key = key(isVolatile ? "box" : "extract-layer");
            String mark = Integer.toString(random.nextInt(1_000));
            Entry entry = new Entry(Kind.ACTIVE, isVolatile, parent, mark, Ledger.UNKNOWN_ID, null);
            Ledger.Operation operation = ledger.beginPrepare(key, entry);
            Answer<List<Mount>> answer =
                    ask(operation, parent, () -> client.prepare(key, parent, Map.of(Ledger.MARK, mark)));
            if (answer.isOk()) {
                Place place = Place.of(answer.value());
                ledger.acknowledge(operation, place.id());
                Owned owned = new Owned(key, entry.withId(place.id()));
                actives.add(owned);
                write(owned, place);
            }
        }

        private void view() throws GoneException {
            if (views.size() >= MOST_VIEWS) {
                removeOne(views);
                return;
            }
            String parent = anyLayer();
            String key = key("view");
            String mark = Integer.toString(random.nextInt(1_000));
            Entry entry = new Entry(Kind.VIEW, false, parent, mark, Ledger.UNKNOWN_ID, null);
            Ledger.Operation operation = ledger.beginPrepare(key, entry);
            Answer<List<Mount>> answer =
                    ask(operation, parent, () -> client.view(key, parent, Map.of(Ledger.MARK, mark)));
            if (answer.isOk()) {
                // The stock snapshotter gives a view a directory as well, and does not say which.
                ledger.acknowledge(operation);
                views.add(new Owned(key, entry));
            }
        }

        /** Writes some more into it; one that can't be written any more is not committed. */
        private void write(Owned owned, Place place) throws GoneException {
            try {
                if (place.isMounted()) {
                    Content.writeThrough(random, place.written());
                } else {
                    Content.writeLayer(random, place.written());
                }
            } catch (IOException e) {
                if (!settings.mayFail()) {
                    complain("writing into " + owned.name + " at " + place.written() + " failed: " + e);
                }
                actives.remove(owned);
                remove(owned);
            }
        }

        private void commitOne() throws GoneException {
            if (actives.isEmpty()) {
                return;
            }
            if (committed.size() >= settings.mostLayers()) {
                removeLayer();
                return;
            }
            Owned owned = pick(actives);
            Answer<List<Mount>> mounts = ask(owned.name, () -> client.mounts(owned.name));
            if (!mounts.isOk()) {
                actives.remove(owned);
                remove(owned);
                return;
            }
            Place place = Place.of(mounts.value());
            if (random.nextInt(3) == 0) {
                write(owned, place);
                if (!actives.contains(owned)) {
                    return;
                }
            }
            commit(owned, place);
        }

        private void commit(Owned owned, Place place) throws GoneException {
            String name = key("layer");
            String mark = Integer.toString(random.nextInt(1_000));
            boolean isRebased = owned.entry.parent().isEmpty() && random.nextInt(2) == 0;
            String rebase = isRebased ? anyLayer() : "";
            String parent = isRebased ? rebase : owned.entry.parent();
            Tree tree;
            try {
                if (isRebased) {
                    hideSomethingOf(rebase, place.upper());
                }
                tree = Tree.ofActive(place.upper());
            } catch (IOException e) {
                if (!settings.mayFail()) {
                    complain("reading " + place.upper() + " failed: " + e);
                }
                return;
            }
            Entry after = new Entry(Kind.COMMITTED, false, parent, mark, place.id(), tree);
            Ledger.Operation operation = ledger.beginCommit(owned.name, name, after);
            Answer<Boolean> answer = ask(operation, rebase, () -> {
                client.commit(name, owned.name, rebase, Map.of(Ledger.MARK, mark));
                return true;
            });
            if (answer.isOk()) {
                ledger.acknowledge(operation, place.id());
                actives.remove(owned);
                committed.add(new Owned(name, after));
                layers.put(name, true);
            } else if (answer.isUnknown()) {
                actives.remove(owned);
            }
        }

        /** As an applier that does not know the layers below: a whiteout that must outlive the Commit. Of an own one, it is known what is in it. */
        private void hideSomethingOf(String parent, Path upper) throws IOException {
            for (Owned layer : committed) {
                if (layer.name.equals(parent)) {
                    List<String> names = layer.entry.tree().topLevel();
                    if (!names.isEmpty()) {
                        Path hidden = upper.resolve(pick(names));
                        if (Files.notExists(hidden, LinkOption.NOFOLLOW_LINKS)) {
                            FileCalls.makeWhiteout(hidden);
                        }
                    }
                }
            }
        }

        private void update() throws GoneException {
            List<Owned> all = new ArrayList<>(actives);
            all.addAll(views);
            all.addAll(committed);
            if (all.isEmpty()) {
                return;
            }
            Owned owned = pick(all);
            Entry after = owned.entry.withMark(Integer.toString(random.nextInt(1_000)));
            Ledger.Operation operation = ledger.beginUpdate(owned.name, after);
            Answer<Boolean> answer = ask(operation, "", () -> {
                client.update(owned.name, Ledger.MARK, after.mark());
                return true;
            });
            if (answer.isOk()) {
                ledger.acknowledge(operation, after.id());
                owned.entry = after;
            } else if (answer.isUnknown()) {
                forget(owned);
            }
        }

        private void removeOne(List<Owned> list) throws GoneException {
            if (!list.isEmpty()) {
                Owned owned = pick(list);
                list.remove(owned);
                remove(owned);
            }
        }

        /** One that others stand on stays. */
        private void removeLayer() throws GoneException {
            if (committed.isEmpty()) {
                return;
            }
            Owned owned = pick(committed);
            layers.remove(owned.name);
            if (remove(owned).isRefused()) {
                layers.put(owned.name, true);
            } else {
                committed.remove(owned);
            }
        }

        private Answer<Boolean> remove(Owned owned) throws GoneException {
            Ledger.Operation operation = ledger.beginRemove(owned.name, owned.entry);
            Answer<Boolean> answer = ask(operation, owned.entry.kind() == Kind.COMMITTED ? owned.name : "", () -> {
                client.remove(owned.name);
                return true;
            });
            if (answer.isOk()) {
                ledger.acknowledge(operation);
            }
            return answer;
        }

        private void forget(Owned owned) {
            actives.remove(owned);
            views.remove(owned);
            committed.remove(owned);
            layers.remove(owned.name);
        }

        private void look() throws GoneException {
            List<Owned> all = new ArrayList<>(actives);
            all.addAll(committed);
            if (!all.isEmpty()) {
                Owned owned = pick(all);
                Answer<Boolean> seen = ask(owned.name, () -> isAsExpected(owned));
                if (seen.isOk() && !seen.value()) {
                    complain("Stat of " + owned.name + " shows something else than " + owned.entry);
                }
            }
        }

        private boolean isAsExpected(Owned owned) {
            client.usage(owned.name);
            var info = client.stat(owned.name);
            return info.getKind() == owned.entry.kind()
                    && info.getParent().equals(owned.entry.parent())
                    && info.getLabelsOrDefault(Ledger.MARK, "").equals(owned.entry.mark());
        }

        private void list() throws GoneException {
            ask("List", () -> client.list("labels." + Ledger.MARK + "==" + random.nextInt(1_000)));
        }

        private void cleanup() throws GoneException {
            ask("Cleanup", () -> {
                client.cleanup();
                return true;
            });
        }

        private String anyLayer() {
            List<String> names = layers.keySet().stream().sorted().toList();
            return names.isEmpty() ? "" : pick(names);
        }

        private <T> T pick(List<T> list) {
            return list.get(random.nextInt(list.size()));
        }

        /** A request that changes nothing. */
        private <T> Answer<T> ask(String about, Supplier<T> request) throws GoneException {
            return ask(null, about, request);
        }

        /** @param shared a layer that another client may be changing at the same time, or empty */
        private <T> Answer<T> ask(Ledger.Operation operation, String shared, Supplier<T> request) throws GoneException {
            try {
                T value = request.get();
                calls.incrementAndGet();
                return new Answer<>(Outcome.OK, value);
            } catch (StatusRuntimeException e) {
                if (Client.isLost(e)) {
                    throw new GoneException(e);
                }
                calls.incrementAndGet();
                return judge(operation, shared, e);
            }
        }

        private <T> Answer<T> judge(Ledger.Operation operation, String shared, StatusRuntimeException e) {
            Status.Code code = e.getStatus().getCode();
            boolean isDefinite = switch (code) {
                case FAILED_PRECONDITION, NOT_FOUND, ALREADY_EXISTS, INVALID_ARGUMENT -> true;
                default -> false;
            };
            boolean isSharedGone = operation != null
                    && !shared.isEmpty()
                    && (code == Status.Code.FAILED_PRECONDITION
                            || (code == Status.Code.NOT_FOUND && ledger.isBeingRemoved(shared)));
            if (operation != null
                    && isDefinite
                    && String.valueOf(e.getStatus().getDescription()).contains("is poisoned: ")) {
                ledger.sawPoisoned(operation.key());
            }
            boolean isForTheDisk =
                    settings.mayFail() && (code == Status.Code.UNAVAILABLE || code == Status.Code.FAILED_PRECONDITION);
            // What the stock one says while it has no snapshot.
            boolean isEmpty = !peer.isOurs()
                    && String.valueOf(e.getStatus().getDescription()).contains("bucket does not exist");
            if (!isSharedGone && !isForTheDisk && !isEmpty) {
                complain((operation == null ? shared : operation) + " was answered " + e.getStatus());
            }
            if (operation != null && isDefinite) {
                ledger.refuse(operation);
            }
            if (!isDefinite) {
                pause();
            }
            return new Answer<>(isDefinite ? Outcome.REFUSED : Outcome.UNKNOWN, null);
        }

        private void pause() {
            try {
                Thread.sleep(PAUSE_AFTER_REFUSAL_MILLIS);
            } catch (InterruptedException _) {
                isStopping = true;
            }
        }
    }

    private enum Outcome {
        OK,
        REFUSED,
        UNKNOWN
    }

    private record Answer<T>(Outcome outcome, T value) {
        boolean isOk() {
            return outcome == Outcome.OK;
        }

        boolean isRefused() {
            return outcome == Outcome.REFUSED;
        }

        boolean isUnknown() {
            return outcome == Outcome.UNKNOWN;
        }
    }
}
