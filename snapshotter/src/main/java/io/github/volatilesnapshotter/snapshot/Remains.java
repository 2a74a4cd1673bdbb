package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/**
 * What a start finds below the root that is not in the records: read beside them, on a thread of its own, as both take as long. Nobody
 * but the daemon that holds the root's lock changes it.
 *
 * @param mounts in the kernel's order
 * @param directories of snapshots, and whatever else lies there
 */
record Remains(List<MountInfo> mounts, List<DirectoryTree.Name> directories) {
    /** Reading that has begun. */
    static final class Reading {
        private final AtomicReference<@Nullable FutureTask<Remains>> begun = new AtomicReference<>();

        private Reading(FutureTask<Remains> task) {
            begun.set(task);
        }

        /** Waits for its end. Once: it may be large, and is not kept. */
        Remains result() throws SyscallException {
            FutureTask<Remains> task = begun.getAndSet(null);
            if (task == null) {
                throw new IllegalStateException("what lies below the root was taken before");
            }
            try {
                return task.get();
            } catch (ExecutionException e) {
                if (e.getCause() instanceof SyscallException failure) {
                    throw failure;
                }
                throw new IllegalStateException("reading what lies below the root", e.getCause());
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IllegalStateException("interrupted while reading what lies below the root", e);
            }
        }
    }

    /** Begins to read. One that nobody waits for ends by itself. */
    static Reading begin(Layout layout) {
        FutureTask<Remains> task = new FutureTask<>(() -> new Remains(
                MountInfo.below(layout.snapshots(), layout.trash()), DirectoryTree.names(layout.snapshots())));
        Thread.ofPlatform().name("recovery-remains").daemon().start(task);
        return new Reading(task);
    }
}
