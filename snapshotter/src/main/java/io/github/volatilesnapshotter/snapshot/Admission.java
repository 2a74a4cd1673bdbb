package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.Role;
import io.github.volatilesnapshotter.metrics.Metrics;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.OnSickFileSystem;
import io.github.volatilesnapshotter.superblock.State;
import io.github.volatilesnapshotter.superblock.SuperblockUnavailableException;
import io.github.volatilesnapshotter.superblock.WatchedSuperblock;
import java.util.Map;

/** What requests may do on the superblock in the state that it is in. May be called from any thread. */
final class Admission {
    private final WatchedSuperblock superblock;
    private final RoleRule roleRule;
    private final OnSickFileSystem onSick;
    private final Metrics metrics;

    Admission(WatchedSuperblock superblock, SnapshotterSettings settings, Metrics metrics) {
        this.superblock = superblock;
        this.roleRule = new RoleRule(settings.volatileByDefault());
        this.onSick = settings.onSickFileSystem();
        this.metrics = metrics;
    }

    /**
     * What a new active becomes. Where an error is just being cleared this waits for that. One that would be volatile gets the configured
     * fallback while errors keep coming. A disk that does not store data gets nothing new, durable or not: directories that an ext4 can't
     * write back abort its journal, and a passing failure would become a lasting one.
     *
     * @throws SuperblockUnavailableException if nothing new can be written, or the fallback is to refuse
     */
    Role roleOf(String key, Map<String, String> labels) throws SuperblockUnavailableException {
        superblock.requireState(State::answers);
        superblock.awaitClearing();
        superblock.requireState(State::takesChanges);
        Role role = roleRule.roleOf(key, labels);
        if (role == Role.DURABLE || superblock.state().takesVolatile()) {
            return role;
        }
        return switch (onSick) {
            case DURABLE -> {
                metrics.placedElsewhere();
                yield Role.DURABLE;
            }
            case REFUSE -> {
                superblock.requireState(State::takesVolatile);
                yield role; // it has recovered since it was asked
            }
        };
    }

    /** Refuses what would wait for a disk that does not answer. */
    void refuseWhileHung(String key) throws SnapshotException {
        try {
            superblock.requireState(State::answers);
        } catch (SuperblockUnavailableException e) {
            throw Failures.of(key, e);
        }
    }

    /** A call failed in a way that a write probe may explain. */
    void suspect(Errno errno) {
        superblock.suspect(errno);
    }

    /** The records, which lie on the same filesystem, could not be written. */
    void suspect(MetadataException failure) {
        if (failure.reason() == MetadataException.Reason.FAILED) {
            superblock.suspect();
        }
    }
}
