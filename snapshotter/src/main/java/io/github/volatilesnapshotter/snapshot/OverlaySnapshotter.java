package io.github.volatilesnapshotter.snapshot;

import static java.lang.System.Logger.Level.WARNING;

import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.linux.TreeUsage;
import io.github.volatilesnapshotter.metadata.Filter;
import io.github.volatilesnapshotter.metadata.FilterSyntaxException;
import io.github.volatilesnapshotter.metadata.Filters;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.Poison;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.RecordedUsage;
import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.Upper;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import io.github.volatilesnapshotter.superblock.Witness;
import java.nio.file.Path;
import java.time.Instant;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CancellationException;
import java.util.concurrent.TimeoutException;
import java.util.stream.Stream;

/**
 * The snapshotter: a store of records, and directories and mounts that follow it.
 *
 * <p>The order of steps decides what a crash leaves behind. Prepare makes directory and mount first and the record last: a
 * directory without a record was never acknowledged. Commit brings data, then names, then the record to disk. Remove deletes the
 * record first: a committed layer's durably, because a record must never name a layer that is gone.
 *
 * <p>Every method that changes a snapshot holds its key's lock, so that two of them never meet; none holds a transaction while
 * it mounts, syncs or walks a tree. Mounts, Stat, List and Usage wait for nobody.
 */
final class OverlaySnapshotter implements Snapshotter {
    private static final System.Logger LOG = System.getLogger(OverlaySnapshotter.class.getName());

    /** overlayfs takes 500 lower layers (OVL_MAX_STACK). */
    private static final int MAX_LAYERS = 500;

    /** There is one pool so far: the root. Records name it, so that more can come. */
    static final String POOL = "root";

    private final SnapshotterSettings settings;
    private final Layout layout;
    private final SnapshotStore store;
    private final Uppers uppers;
    private final Poisoner poisoner;
    private final LayerSync layerSync;
    private final Trash trash;
    private final Metrics metrics;
    private final Machine machine;
    private final RoleRule roleRule;
    private final SnapshotMounts mounts;
    private final Infos infos;
    private final UsageCache usages;
    private final KeyLocks locks;

    /** Where the uppers live and when: what each new upper is recorded with. */
    record Machine(String bootId, String superblock) {}

    OverlaySnapshotter(
            SnapshotterSettings settings,
            Layout layout,
            SnapshotStore store,
            Uppers uppers,
            Poisoner poisoner,
            LayerSync layerSync,
            Trash trash,
            Machine machine,
            Metrics metrics) {
        this.settings = settings;
        this.layout = layout;
        this.store = store;
        this.uppers = uppers;
        this.poisoner = poisoner;
        this.layerSync = layerSync;
        this.trash = trash;
        this.machine = machine;
        this.metrics = metrics;
        this.roleRule = new RoleRule(settings.volatileByDefault());
        this.mounts = new SnapshotMounts(layout);
        this.infos = new Infos(poisoner);
        this.usages = new UsageCache(settings.usageCacheMillis());
        this.locks = new KeyLocks(settings.keyWaitMillis(), metrics::lockTimedOut);
    }

    @Override
    public List<Mount> prepare(String key, String parent, Map<String, String> labels) throws SnapshotException {
        Requests.checkKey("key", key);
        Requests.checkLabels(labels);
        try (KeyLocks.Held _ = locks.hold(key)) {
            List<SnapshotRecord> parents = parentsOf(key, parent);
            List<Path> lower = mounts.lower(parents);
            Role role = roleRule.roleOf(key, labels);
            long id = store.newId();
            try {
                switch (role) {
                    case DURABLE -> uppers.createDurable(id, lower);
                    case VOLATILE -> uppers.createVolatile(id, lower);
                }
                Upper upper = new Upper(role, POOL, machine.bootId(), machine.superblock(), 0);
                SnapshotRecord snapshot =
                        newRecord(id, key, RecordKind.ACTIVE, parents, labels).withUpper(upper);
                insert(snapshot, parent);
                // An epoch that began after the witness was opened, and looked before the record was there, missed this
                // one.
                poisonWitnessesOfEpoch(List.of(id), Errno.EIO);
                return mounts.of(snapshot, parents);
            } catch (SnapshotException
                    | MetadataException
                    | SyscallException
                    | SuperblockUnavailableException
                    | RuntimeException e) {
                undoPrepare(id, e);
                throw e;
            }
        } catch (MetadataException e) {
            throw Failures.of(key, e);
        } catch (SyscallException e) {
            throw Failures.of(key, e);
        } catch (SuperblockUnavailableException e) {
            throw Failures.of(key, e);
        }
    }

    /** What can't be undone now is found by the next start: a directory without a record. */
    private void undoPrepare(long id, Exception cause) {
        try {
            uppers.throwAway(id);
        } catch (SyscallException e) {
            cause.addSuppressed(e);
        }
    }

    /** A view needs no directory of its own: it shows its parents', or the empty one. */
    @Override
    public List<Mount> view(String key, String parent, Map<String, String> labels) throws SnapshotException {
        Requests.checkKey("key", key);
        Requests.checkLabels(labels);
        try (KeyLocks.Held _ = locks.hold(key)) {
            List<SnapshotRecord> parents = parentsOf(key, parent);
            SnapshotRecord snapshot = newRecord(store.newId(), key, RecordKind.VIEW, parents, labels);
            insert(snapshot, parent);
            return mounts.of(snapshot, parents);
        } catch (MetadataException e) {
            throw Failures.of(key, e);
        }
    }

    private SnapshotRecord newRecord(
            long id, String key, RecordKind kind, List<SnapshotRecord> parents, Map<String, String> labels) {
        Instant now = Instant.now();
        long parentId = parents.isEmpty()
                ? SnapshotRecord.NO_PARENT
                : parents.getFirst().id();
        return new SnapshotRecord(
                id, key, kind, parentId, now, now, LabelChange.stored(labels), POOL, null, null, null);
    }

    /** Refuses a taken key and a bad parent before anything is made; {@link #insert} asks again. */
    private List<SnapshotRecord> parentsOf(String key, String parent) throws SnapshotException {
        if (store.find(key).isPresent()) {
            throw Failures.alreadyExists(key);
        }
        if (parent.isEmpty()) {
            return List.of();
        }
        List<SnapshotRecord> parents =
                store.chain(committedParent(key, parent, store.find(parent)).id());
        if (parents.size() > MAX_LAYERS) {
            throw new SnapshotException(
                    Category.INVALID_ARGUMENT,
                    "snapshot " + key + " would stand on " + parents.size() + " layers: overlayfs takes " + MAX_LAYERS);
        }
        return parents;
    }

    private void insert(SnapshotRecord snapshot, String parent) throws SnapshotException, MetadataException {
        var _ = store.<SnapshotRecord, SnapshotException>ordered(transaction -> {
            if (transaction.find(snapshot.key()).isPresent()) {
                throw Failures.alreadyExists(snapshot.key());
            }
            if (snapshot.hasParent()) {
                committedParent(snapshot.key(), parent, transaction.find(snapshot.parentId()));
            }
            transaction.insert(snapshot);
            return snapshot;
        });
    }

    private static SnapshotRecord committedParent(String key, String parent, Optional<SnapshotRecord> found)
            throws SnapshotException {
        SnapshotRecord record = found.orElseThrow(() -> new SnapshotException(
                Category.NOT_FOUND, "parent " + parent + " of snapshot " + key + " does not exist"));
        if (record.kind() != RecordKind.COMMITTED) {
            throw new SnapshotException(
                    Category.INVALID_ARGUMENT, "parent " + parent + " of snapshot " + key + " is not committed");
        }
        return record;
    }

    @Override
    public List<Mount> mounts(String key) throws SnapshotException {
        Requests.checkKey("key", key);
        // Without the key's lock: nothing is changed, and while a Commit syncs the mounts are what they were.
        long id = find(key).id();
        ask(id);
        SnapshotRecord snapshot = find(key);
        if (snapshot.kind() == RecordKind.COMMITTED) {
            throw new SnapshotException(
                    Category.FAILED_PRECONDITION, "snapshot " + key + " is committed: it has no mounts, make a view");
        }
        refusePoisoned(snapshot);
        List<SnapshotRecord> parents = snapshot.hasParent() ? store.chain(snapshot.parentId()) : List.of();
        return mounts.of(snapshot, parents);
    }

    /** Asks the kernel about one volatile snapshot, and poisons it if it has lost a write. */
    private void ask(long id) {
        long begunNanos = System.nanoTime();
        Optional<Errno> error = uppers.writebackError(id);
        metrics.probeTook(System.nanoTime() - begunNanos);
        error.ifPresent(errno -> poisoner.poison(List.of(lostWrite(id, errno))));
    }

    private void refusePoisoned(SnapshotRecord snapshot) throws SnapshotException {
        Optional<Poison> poison = poisoner.of(snapshot);
        if (poison.isPresent()) {
            throw new SnapshotException(Category.FAILED_PRECONDITION, poisonedMessage(snapshot.key(), poison.get()));
        }
    }

    private static String poisonedMessage(String key, Poison poison) {
        String errno = poison.errno().isEmpty() ? "" : " (" + poison.errno() + ")";
        return "snapshot " + key + " is poisoned: " + poison.reason() + errno + " on " + poison.device() + " at "
                + poison.at();
    }

    @Override
    public void commit(String name, String key, String parent, Map<String, String> labels, Cancellation cancellation)
            throws SnapshotException {
        Requests.checkKey("name", name);
        Requests.checkKey("key", key);
        Requests.checkLabels(labels);
        CommitRule rule = new CommitRule(name, key, parent);
        long begunNanos = System.nanoTime();
        try (KeyLocks.Held _ = locks.hold(key)) {
            SnapshotRecord active = rule.check(store::find);
            refusePoisoned(active);
            sync(active, name);
            RecordedUsage usage = count(active.id(), key, cancellation);
            recordCommit(rule, labels, usage);
            tidyCommitted(active.id(), key);
        } catch (MetadataException e) {
            throw Failures.of(key, e);
        } finally {
            metrics.commitTook(System.nanoTime() - begunNanos);
        }
    }

    /**
     * Returns when the upper is on disk and nothing of it was lost on the way; if something was, the snapshot is poisoned. A
     * machine that is out of space or descriptors has lost nothing: then the snapshot stays as it is.
     */
    private void sync(SnapshotRecord active, String name) throws SnapshotException {
        long id = active.id();
        Optional<VolatileOverlay> overlay = uppers.overlay(id);
        Optional<Witness> witness = uppers.witness(id);
        try {
            if (overlay.isPresent()) {
                layerSync.syncVolatile(id, name, overlay.get());
            } else if (witness.isPresent()) {
                layerSync.syncDurable(id, name, witness.get());
            } else {
                throw new IllegalStateException(active.key() + " has neither overlay nor witness and is not poisoned");
            }
        } catch (SyscallException e) {
            if (!Failures.meansLostWrite(e)) {
                throw Failures.of(active.key(), e);
            }
            poisoner.poison(List.of(lostWrite(id, e.errno())));
            throw new SnapshotException(
                    Category.FAILED_PRECONDITION,
                    "snapshot " + active.key() + " could not be brought to disk on " + machine.superblock()
                            + " and is poisoned: " + e.getMessage(),
                    e);
        } catch (TimeoutException e) {
            throw new SnapshotException(
                    Category.UNAVAILABLE, "snapshot " + active.key() + " is not committed: " + e.getMessage(), e);
        }
    }

    private void recordCommit(CommitRule rule, Map<String, String> labels, RecordedUsage usage)
            throws SnapshotException, MetadataException {
        var _ = store.<SnapshotRecord, SnapshotException>durable(transaction -> {
            SnapshotRecord active = rule.check(transaction::find);
            refusePoisoned(active);
            Instant now = Instant.now();
            // Labels are the request's: a committed snapshot inherits none of the active's.
            SnapshotRecord committed = active.withKey(rule.name())
                    .withKind(RecordKind.COMMITTED)
                    .withCreatedAt(now)
                    .withUpdatedAt(now)
                    .withLabels(LabelChange.stored(labels))
                    .withUpper(null)
                    .withUsage(usage);
            transaction.replace(committed);
            return committed;
        });
    }

    /** The layer is committed; what it does not need any more goes. Nothing here can take the Commit back. */
    private void tidyCommitted(long id, String key) {
        usages.forget(id);
        layerSync.forget(id);
        try {
            uppers.release(id);
            trash.throwAway(layout.work(id));
            trash.throwAway(layout.merged(id));
        } catch (SyscallException e) {
            LOG.log(WARNING, "snapshot " + key + " is committed, but its work directory could not be thrown away", e);
        }
    }

    @Override
    public void remove(String key) throws SnapshotException {
        Requests.checkKey("key", key);
        try (KeyLocks.Held _ = locks.hold(key)) {
            SnapshotRecord snapshot = find(key);
            SnapshotStore.Work<SnapshotRecord, SnapshotException> deletion = transaction -> {
                SnapshotRecord found = transaction.find(key).orElseThrow(() -> Failures.notFound(key));
                if (transaction.hasChildren(found.id())) {
                    throw new SnapshotException(
                            Category.FAILED_PRECONDITION, "cannot remove snapshot " + key + ": it has children");
                }
                transaction.delete(found.id());
                return found;
            };
            if (snapshot.kind() == RecordKind.COMMITTED) {
                var _ = store.durable(deletion);
            } else {
                var _ = store.ordered(deletion);
            }
            throwAway(snapshot);
        } catch (MetadataException e) {
            throw Failures.of(key, e);
        }
    }

    /** The snapshot is removed; a directory that can't be moved now is found by the next start. */
    private void throwAway(SnapshotRecord snapshot) {
        usages.forget(snapshot.id());
        poisoner.forget(snapshot.id());
        layerSync.forget(snapshot.id());
        if (snapshot.kind() == RecordKind.VIEW) {
            return;
        }
        try {
            uppers.throwAway(snapshot.id());
        } catch (SyscallException e) {
            LOG.log(
                    WARNING,
                    "snapshot " + snapshot.key() + " is removed, but its directory could not be thrown away",
                    e);
        }
    }

    @Override
    public SnapshotInfo stat(String key) throws SnapshotException {
        Requests.checkKey("key", key);
        return info(find(key));
    }

    private SnapshotInfo info(SnapshotRecord snapshot) {
        return infos.of(snapshot, store.keyOf(snapshot.parentId()).orElse(""));
    }

    private SnapshotRecord find(String key) throws SnapshotException {
        return store.find(key).orElseThrow(() -> Failures.notFound(key));
    }

    @Override
    public SnapshotInfo update(String key, Map<String, String> labels, List<String> fieldPaths)
            throws SnapshotException {
        Requests.checkKey("key", key);
        Requests.checkLabels(labels);
        SnapshotStore.Work<SnapshotRecord, SnapshotException> change = transaction -> {
            SnapshotRecord found = transaction.find(key).orElseThrow(() -> Failures.notFound(key));
            SnapshotRecord changed = found.withLabels(LabelChange.apply(key, found.labels(), labels, fieldPaths))
                    .withUpdatedAt(Instant.now());
            transaction.replace(changed);
            return changed;
        };
        try (KeyLocks.Held _ = locks.hold(key)) {
            boolean isCommitted = find(key).kind() == RecordKind.COMMITTED;
            return info(isCommitted ? store.durable(change) : store.ordered(change));
        } catch (MetadataException e) {
            throw Failures.of(key, e);
        }
    }

    @Override
    public Iterator<SnapshotInfo> list(List<String> filters) throws SnapshotException {
        Filter filter;
        try {
            filter = Filters.parse(filters);
        } catch (FilterSyntaxException e) {
            throw new SnapshotException(Category.INVALID_ARGUMENT, "filters " + filters + ": " + e.getMessage(), e);
        }
        List<SnapshotRecord> all = store.all();
        Map<Long, String> names = HashMap.newHashMap(all.size());
        all.forEach(snapshot -> names.put(snapshot.id(), snapshot.key()));
        return all.stream()
                .map(snapshot -> infos.of(snapshot, names.getOrDefault(snapshot.parentId(), "")))
                .filter(info -> filter.matches(Infos.fields(info)))
                .iterator();
    }

    @Override
    public Usage usage(String key, Cancellation cancellation) throws SnapshotException {
        Requests.checkKey("key", key);
        SnapshotRecord snapshot = find(key);
        return switch (snapshot.kind()) {
            case VIEW -> new Usage(0, 0);
            case COMMITTED -> {
                RecordedUsage usage = snapshot.usage();
                yield usage == null ? new Usage(0, 0) : new Usage(usage.sizeBytes(), usage.inodes());
            }
            case ACTIVE -> {
                Optional<Usage> remembered = usages.get(snapshot.id());
                if (remembered.isPresent()) {
                    yield remembered.get();
                }
                RecordedUsage counted = count(snapshot.id(), key, cancellation);
                yield usages.put(snapshot.id(), new Usage(counted.sizeBytes(), counted.inodes()));
            }
        };
    }

    private RecordedUsage count(long id, String key, Cancellation cancellation) throws SnapshotException {
        try {
            TreeUsage usage = DirectoryTree.usage(layout.upper(id), cancellation::isCancelled);
            return new RecordedUsage(usage.sizeBytes(), usage.inodes());
        } catch (SyscallException e) {
            if (e.errno().equals(Errno.ENOENT)) {
                // Poisoned after a crash: the directory is thrown away and the record waits for its Remove.
                return new RecordedUsage(0, 0);
            }
            throw Failures.of(key, e);
        } catch (CancellationException e) {
            throw new SnapshotException(
                    Category.CANCELLED, "snapshot " + key + ": cancelled while its usage was counted", e);
        }
    }

    @Override
    public void cleanup() throws SnapshotException {
        try {
            if (!trash.awaitSweep(settings.cleanupTimeoutMillis())) {
                LOG.log(WARNING, "cleanup leaves directories in the trash for later", "waiting", trash.waiting());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new SnapshotException(Category.CANCELLED, "cleanup was interrupted", e);
        }
    }

    /** Asks every volatile overlay, and records what it hears. Called by the watch, and at each epoch. */
    void lookAtOverlays() {
        long begunNanos = System.nanoTime();
        List<Poisoner.Verdict> verdicts = uppers.mounted().stream()
                .flatMap(id -> uppers.writebackError(id).map(errno -> lostWrite(id, errno)).stream())
                .toList();
        metrics.probeTook(System.nanoTime() - begunNanos);
        poisoner.poison(verdicts);
    }

    /**
     * Looks at everything on a superblock that has an error. A durable snapshot is poisoned without being asked: its witness
     * would report this error at Commit, but a witness does not outlive the daemon, and the poison does.
     */
    void lookAtEpoch(Errno errno) {
        lookAtOverlays();
        poisonWitnessesOfEpoch(uppers.witnessed(), errno);
    }

    /** The filesystem has lost what was not written back: whoever writes on it can't be trusted. */
    void poisonAll(Errno errno) {
        poisoner.poison(Stream.concat(uppers.mounted().stream(), uppers.witnessed().stream())
                .map(id -> new Poisoner.Verdict(id, PoisonReason.FILE_SYSTEM_GONE, errno, machine.superblock()))
                .toList());
    }

    private void poisonWitnessesOfEpoch(List<Long> ids, Errno errno) {
        poisoner.poison(ids.stream()
                .filter(uppers::hasWitnessedEpoch)
                .map(id -> lostWrite(id, errno))
                .toList());
    }

    private Poisoner.Verdict lostWrite(long id, Errno errno) {
        return new Poisoner.Verdict(id, PoisonReason.WRITEBACK_ERROR, errno, machine.superblock());
    }
}
