package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.metadata.MetadataException;
import io.github.volatilesnapshotter.metadata.RecordKind;
import io.github.volatilesnapshotter.metadata.SnapshotRecord;
import io.github.volatilesnapshotter.metadata.SqliteSnapshotStore;
import io.github.volatilesnapshotter.superblock.FailedFiles.Found;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AutoClose;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DamagedFilesTest {
    private static final String ROOT = "/var/lib/root";

    @TempDir
    Path directory;

    @AutoClose
    SqliteSnapshotStore store;

    private DamagedFiles files;

    @BeforeEach
    void make_a_layer_and_a_container() throws MetadataException {
        store = SqliteSnapshotStore.open(directory.resolve("metadata.db"));
        insert(7, "default/3/sha256:59b1", RecordKind.COMMITTED);
        insert(12, "default/4/web-1", RecordKind.ACTIVE);
        files = new DamagedFiles(new Layout(Path.of(ROOT)), store);
    }

    @Test
    void a_file_of_a_container_has_its_path_in_the_container() {
        assertThat(describe(at("/snapshots/12/fs/var/log/web.log")))
                .containsExactly("snapshot default/4/web-1: /var/log/web.log");
        assertThat(describe(at("/snapshots/12/fs"))).containsExactly("snapshot default/4/web-1: /");
        assertThat(describe(at("/snapshots/12/work/work/#1f")))
                .containsExactly("snapshot default/4/web-1: overlayfs' work directory/work/#1f");
    }

    @Test
    void a_file_of_a_layer_is_named_with_the_layer() {
        assertThat(describe(at("/snapshots/7/fs/bin/sh"))).containsExactly("layer default/3/sha256:59b1: /bin/sh");
    }

    @Test
    void a_file_of_a_snapshot_that_is_gone_is_said_to_be_one() {
        assertThat(describe(at("/snapshots/13/fs/a"), at("/trash/11.99/fs/b")))
                .containsExactly("removed snapshot: 13/fs/a", "removed snapshot: 11.99/fs/b");
    }

    @Test
    void everything_else_is_our_own_or_foreign() {
        assertThat(describe(at("/metadata.db-wal"), at("/snapshots/12/committed"), at("/snapshots/x/fs/a")))
                .containsExactly(
                        "the snapshotter's own file: " + ROOT + "/metadata.db-wal",
                        "the snapshotter's own file: " + ROOT + "/snapshots/12/committed",
                        "the snapshotter's own file: " + ROOT + "/snapshots/x/fs/a");
        assertThat(describe(new Found.At(1, "/var/lib/rootless/file"), new Found.At(2, "/")))
                .containsExactly("foreign file: /var/lib/rootless/file", "foreign file: /");
    }

    @Test
    void what_has_no_path_has_its_inode() {
        assertThat(describe(
                        new Found.Deleted(21, ROOT + "/snapshots/12/fs/tmp/a"),
                        new Found.Deleted(22, ""),
                        new Found.Unknown(23),
                        new Found.Metadata(0)))
                .containsExactly(
                        "snapshot default/4/web-1: /tmp/a (deleted)",
                        "inode 22 (deleted)",
                        "inode 23 (name not known)",
                        "metadata or journal of the filesystem");
    }

    @Test
    void the_same_is_said_once_and_no_more_than_sixteen_times() {
        List<Found> many = new ArrayList<>(List.of(new Found.Metadata(0), new Found.Metadata(1)));
        for (long inode = 0; inode < 40; inode++) {
            many.add(new Found.Unknown(inode));
        }

        assertThat(files.describe(many))
                .hasSize(16)
                .startsWith("metadata or journal of the filesystem", "inode 0 (name not known)");
    }

    @Test
    void names_from_containers_break_no_line_and_have_a_bound() {
        assertThat(describe(at("/snapshots/12/fs/a\nlevel=error\u001b[2J")))
                .containsExactly("snapshot default/4/web-1: /a?level=error?[2J");
        String name = "\ud83d\ude00".repeat(DamagedFiles.LONGEST_TEXT);
        assertThat(describe(at("/snapshots/12/fs/" + name)).getFirst())
                .endsWith("\ud83d\ude00...")
                .satisfies(text ->
                        assertThat(text.codePointCount(0, text.length())).isEqualTo(DamagedFiles.LONGEST_TEXT + 3));
    }

    private static Found at(String belowRoot) {
        return new Found.At(belowRoot.hashCode(), ROOT + belowRoot);
    }

    private List<String> describe(Found... found) {
        return files.describe(List.of(found));
    }

    private void insert(long id, String key, RecordKind kind) throws MetadataException {
        SnapshotRecord record = new SnapshotRecord(
                id,
                key,
                kind,
                SnapshotRecord.NO_PARENT,
                Instant.EPOCH,
                Instant.EPOCH,
                Map.of(),
                "main",
                null,
                null,
                null);
        boolean _ = store.<Boolean, RuntimeException>ordered(transaction -> {
            transaction.insert(record);
            return true;
        });
    }
}
