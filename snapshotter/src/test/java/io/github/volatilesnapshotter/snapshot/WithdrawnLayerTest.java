package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SnapshotStore;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A layer whose removal has begun and which still has its record and its directory: {@link Remover} on a full filesystem. */
class WithdrawnLayerTest {
    @TempDir
    private Path directory;

    private SnapshotStore store;
    private LostLayers lostLayers;
    private SnapshotRecord layer;
    private SnapshotRecord container;

    @BeforeEach
    void insertLayer() throws Exception {
        Layout layout = new Layout(directory);
        store = SqliteSnapshotStore.open(layout.database());
        lostLayers = new LostLayers(store, layout);
        layer = view(store.newId(), "layer", 0).withKind(RecordKind.COMMITTED);
        container = view(store.newId(), "default/1/view", layer.id());
        Files.createDirectories(layout.upper(layer.id()));
        var _ = store.<SnapshotRecord, SnapshotException>ordered(transaction -> {
            transaction.insert(layer);
            return layer;
        });
    }

    @AfterEach
    void close() throws Exception {
        store.close();
    }

    private static SnapshotRecord view(long id, String key, long parentId) {
        Instant now = Instant.now();
        return new SnapshotRecord(
                id, key, RecordKind.VIEW, parentId, now, now, Map.of(), Machine.POOL, null, null, null);
    }

    private void insert() throws Exception {
        var _ = store.<SnapshotRecord, SnapshotException>ordered(transaction -> {
            lostLayers.refuseWithdrawn(transaction, container);
            transaction.insert(container);
            return container;
        });
    }

    @Test
    void what_was_looked_at_before_is_refused_in_its_transaction() throws Exception {
        lostLayers.withdraw(layer.id());

        assertThatThrownBy(this::insert)
                .isInstanceOf(SnapshotException.class)
                .hasMessageContaining(
                        "snapshot default/1/view stands on layer layer, whose directory snapshots/1/fs is gone");
        assertThat(store.find(container.key())).isEmpty();
    }

    @Test
    void its_directory_says_nothing() throws Exception {
        lostLayers.withdraw(layer.id());

        assertThatThrownBy(() -> lostLayers.lookAndRefuse(container.key(), List.of(layer)))
                .isInstanceOf(SnapshotException.class);
        assertThat(lostLayers.contains(layer.id())).isTrue();
    }

    @Test
    void once_it_is_removed_nothing_is_known_of_it() throws Exception {
        lostLayers.withdraw(layer.id());
        lostLayers.forget(layer.id());

        assertThat(lostLayers.contains(layer.id())).isFalse();
        insert();
    }
}
