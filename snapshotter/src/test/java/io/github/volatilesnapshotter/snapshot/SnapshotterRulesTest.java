package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** The rules of containerd's metadata store that its own test suite does not reach over a socket, on real mounts. */
@Tag("kernel")
class SnapshotterRulesTest extends SnapshotterKit {
    private Snapshotter snapshotter;

    @BeforeEach
    void start() throws Exception {
        snapshotter = fixture.snapshotter();
    }

    private static void refused(Category category, String inMessage, ThrowingCallable call) {
        assertThatThrownBy(call)
                .isInstanceOfSatisfying(
                        SnapshotException.class, e -> assertThat(e.category()).isEqualTo(category))
                .hasMessageContaining(inMessage);
    }

    private void commit(String name, String key) throws SnapshotException {
        snapshotter.commit(name, key, "", Map.of(), Cancellation.NEVER);
    }

    @Test
    void unknown_keys_are_not_found_by_any_request() {
        refused(Category.NOT_FOUND, "nobody", () -> snapshotter.stat("nobody"));
        refused(Category.NOT_FOUND, "nobody", () -> snapshotter.mounts("nobody"));
        refused(Category.NOT_FOUND, "nobody", () -> snapshotter.remove("nobody"));
        refused(Category.NOT_FOUND, "nobody", () -> commit("name", "nobody"));
        refused(Category.NOT_FOUND, "nobody", () -> snapshotter.usage("nobody", Cancellation.NEVER));
        refused(Category.NOT_FOUND, "nobody", () -> snapshotter.update("nobody", Map.of(), List.of()));
        refused(Category.NOT_FOUND, "nobody", () -> snapshotter.prepare("key", "nobody", Map.of()));
        refused(Category.NOT_FOUND, "nobody", () -> snapshotter.view("key", "nobody", Map.of()));
        assertThat(fixture.layout().snapshots()).isEmptyDirectory();
    }

    @Test
    void views_actives_and_committed_snapshots_share_one_key_space() throws Exception {
        fixture.layer("base", "", "file", "x");
        snapshotter.prepare("active", "base", Map.of());
        snapshotter.view("view", "base", Map.of());
        for (String key : List.of("base", "active", "view")) {
            refused(Category.ALREADY_EXISTS, key, () -> snapshotter.prepare(key, "", Map.of()));
            refused(Category.ALREADY_EXISTS, key, () -> snapshotter.view(key, "base", Map.of()));
        }
    }

    @Test
    void a_parent_that_is_not_committed_is_an_invalid_argument() throws Exception {
        snapshotter.prepare("active", "", Map.of());
        refused(Category.INVALID_ARGUMENT, "active", () -> snapshotter.prepare("child", "active", Map.of()));
        refused(Category.INVALID_ARGUMENT, "active", () -> snapshotter.view("child", "active", Map.of()));
    }

    @Test
    void commit_checks_the_name_before_the_key() throws Exception {
        fixture.layer("base", "", "file", "x");
        refused(Category.ALREADY_EXISTS, "base", () -> commit("base", "nobody"));
    }

    @Test
    void only_an_active_can_be_committed() throws Exception {
        fixture.layer("base", "", "file", "x");
        snapshotter.view("view", "base", Map.of());
        refused(Category.FAILED_PRECONDITION, "view", () -> commit("name", "view"));
        refused(Category.FAILED_PRECONDITION, "base", () -> commit("name", "base"));
    }

    @Test
    void a_committed_snapshot_has_no_mounts() throws Exception {
        fixture.layer("base", "", "file", "x");
        refused(Category.FAILED_PRECONDITION, "base", () -> snapshotter.mounts("base"));
    }

    @Test
    void a_snapshot_with_children_cannot_be_removed() throws Exception {
        fixture.layer("base", "", "file", "x");
        snapshotter.view("view", "base", Map.of());
        refused(Category.FAILED_PRECONDITION, "cannot remove", () -> snapshotter.remove("base"));
        snapshotter.remove("view");
        snapshotter.remove("base");
        refused(Category.NOT_FOUND, "base", () -> snapshotter.stat("base"));
    }

    @Test
    void a_rebase_gives_a_parentless_active_its_parent_at_commit() throws Exception {
        fixture.layer("base", "", "below", "1");
        Path upper = RunningSnapshotterFixture.upperOf(snapshotter.prepare("extract-2", "", Map.of()));
        Files.writeString(upper.resolve("above"), "2");
        snapshotter.commit("top", "extract-2", "base", Map.of(), Cancellation.NEVER);

        assertThat(snapshotter.stat("top").parent()).isEqualTo("base");
        String lower = RunningSnapshotterFixture.option(snapshotter.view("view", "top", Map.of()), "lowerdir=");
        assertThat(lower.split(":")).hasSize(2);
        refused(Category.FAILED_PRECONDITION, "children", () -> snapshotter.remove("base"));
    }

    @Test
    void a_rebase_to_a_parent_that_is_wrong_is_refused_and_leaves_the_active() throws Exception {
        fixture.layer("base", "", "f", "1");
        fixture.layer("other", "", "f", "1");
        snapshotter.prepare("extract-child", "base", Map.of());
        snapshotter.prepare("extract-alone", "", Map.of());
        refused(Category.INVALID_ARGUMENT, "other", () -> rebase("extract-child", "other"));
        refused(Category.INVALID_ARGUMENT, "nobody", () -> rebase("extract-child", "nobody"));
        refused(Category.NOT_FOUND, "nobody", () -> rebase("extract-alone", "nobody"));
        refused(Category.FAILED_PRECONDITION, "extract-child", () -> rebase("extract-alone", "extract-child"));
        assertThat(snapshotter.stat("extract-child").kind()).isEqualTo(Kind.ACTIVE);
        rebase("extract-child", "base");
        assertThat(snapshotter.stat("name").parent()).isEqualTo("base");
    }

    private void rebase(String key, String parent) throws SnapshotException {
        snapshotter.commit("name", key, parent, Map.of(), Cancellation.NEVER);
    }

    @Test
    void a_committed_snapshot_has_the_labels_of_its_commit_only() throws Exception {
        snapshotter.prepare("extract-1", "", Map.of("a", "1"));
        SnapshotInfo before = snapshotter.stat("extract-1");
        snapshotter.commit("name", "extract-1", "", Map.of("b", "2"), Cancellation.NEVER);
        SnapshotInfo after = snapshotter.stat("name");
        assertThat(after.labels()).isEqualTo(Map.of("b", "2"));
        assertThat(after.createdAt()).isAfter(before.createdAt()).isEqualTo(after.updatedAt());
    }

    @Test
    void usage_counts_blocks_of_distinct_inodes_and_the_root_directory() throws Exception {
        Path upper = RunningSnapshotterFixture.upperOf(snapshotter.prepare("extract-1", "", Map.of()));
        Files.write(upper.resolve("file"), new byte[64 * 1024]);
        Files.createLink(upper.resolve("link"), upper.resolve("file"));
        Usage active = snapshotter.usage("extract-1", Cancellation.NEVER);
        assertThat(active.inodes()).isEqualTo(2);
        commit("name", "extract-1");
        Usage committed = snapshotter.usage("name", Cancellation.NEVER);
        assertThat(committed.inodes()).isEqualTo(2);
        assertThat(committed.sizeBytes()).isBetween(64L * 1024, 80L * 1024);
        snapshotter.view("view", "name", Map.of());
        assertThat(snapshotter.usage("view", Cancellation.NEVER)).isEqualTo(new Usage(0, 0));
    }

    @Test
    void counting_usage_stops_when_nobody_waits_for_it() throws Exception {
        Path merged =
                Path.of(snapshotter.prepare("active", "", Map.of()).getFirst().source());
        Files.createFile(merged.resolve("file"));
        refused(Category.CANCELLED, "active", () -> snapshotter.usage("active", () -> true));
    }

    @Test
    void nothing_is_made_for_a_client_that_has_given_up() throws Exception {
        fixture.layer("base", "", "file", "from below");
        refused(Category.CANCELLED, "active", () -> snapshotter.prepare("active", "base", Map.of(), () -> true));
        refused(Category.CANCELLED, "view", () -> snapshotter.view("view", "base", Map.of(), () -> true));

        assertThat(snapshotter.list(List.of()))
                .toIterable()
                .extracting(SnapshotInfo::name)
                .containsExactly("base");
    }

    @Test
    void a_volatile_active_is_a_bind_of_an_overlay_that_is_mounted_volatile() throws Exception {
        fixture.layer("base", "", "file", "from below");
        List<Mount> mounts = snapshotter.prepare("default/9/container", "base", Map.of());
        assertThat(mounts).hasSize(1);
        assertThat(mounts.getFirst().type()).isEqualTo("bind");
        assertThat(mounts.getFirst().options()).containsExactlyInAnyOrder("rbind", "rw");
        Path merged = Path.of(mounts.getFirst().source());
        assertThat(merged.resolve("file")).hasContent("from below");
        MountInfo mount = MountInfo.containing(merged);
        assertThat(mount.mountPoint()).isEqualTo(merged.toString());
        assertThat(mount.isVolatile()).isTrue();
        // The kernel shows only what differs from its defaults.
        assertThat(mount.superOptions()).doesNotContain("index=on", "metacopy=on", "redirect_dir=on");
        assertThat(snapshotter.mounts("default/9/container")).isEqualTo(mounts);
    }

    @Test
    void a_parentless_durable_active_is_an_overlay_over_the_empty_directory() throws Exception {
        List<Mount> mounts = snapshotter.prepare("extract-1", "", Map.of());
        assertThat(mounts.getFirst().type()).isEqualTo("overlay");
        assertThat(RunningSnapshotterFixture.option(mounts, "lowerdir="))
                .isEqualTo(fixture.layout().empty().toString());
        assertThat(mounts.getFirst().options()).anyMatch(option -> option.startsWith("workdir="));
    }

    @Test
    void views_are_read_only_binds_or_overlays_of_layers() throws Exception {
        fixture.layer("one", "", "f", "1");
        fixture.layer("two", "one", "f", "2");
        assertThat(snapshotter.view("v0", "", Map.of()).getFirst())
                .isEqualTo(new Mount("bind", fixture.layout().empty().toString(), List.of("ro", "rbind")));
        Mount single = snapshotter.view("v1", "one", Map.of()).getFirst();
        assertThat(single.type()).isEqualTo("bind");
        assertThat(single.options()).contains("ro");
        Mount stacked = snapshotter.view("v2", "two", Map.of()).getFirst();
        assertThat(stacked.type()).isEqualTo("overlay");
        assertThat(stacked.options()).noneMatch(option -> option.startsWith("upperdir="));
    }

    @Test
    void an_upper_root_looks_like_the_parents_root() throws Exception {
        Path upper = RunningSnapshotterFixture.upperOf(snapshotter.prepare("extract-1", "", Map.of()));
        Files.setAttribute(upper, "unix:uid", 1234);
        Files.setAttribute(upper, "unix:gid", 4321);
        Files.setAttribute(upper, "unix:mode", 02750);
        commit("base", "extract-1");
        Path merged =
                Path.of(snapshotter.prepare("c", "base", Map.of()).getFirst().source());
        assertThat(Files.getAttribute(merged, "unix:uid")).isEqualTo(1234);
        assertThat(Files.getAttribute(merged, "unix:gid")).isEqualTo(4321);
        assertThat((int) Files.getAttribute(merged, "unix:mode") & 07777).isEqualTo(02750);
    }

    @Test
    void a_committed_volatile_snapshot_is_a_layer_like_any_other() throws Exception {
        Path merged =
                Path.of(snapshotter.prepare("build", "", Map.of()).getFirst().source());
        Files.writeString(merged.resolve("out"), "built");
        commit("layer", "build");
        assertThat(MountInfo.ofSelf()).noneMatch(mount -> mount.mountPoint().equals(merged.toString()));
        Path next = Path.of(
                snapshotter.prepare("next", "layer", Map.of()).getFirst().source());
        assertThat(next.resolve("out")).hasContent("built");
    }

    @Test
    void a_removed_snapshot_leaves_neither_mount_nor_directory() throws Exception {
        Path merged = Path.of(snapshotter.prepare("c", "", Map.of()).getFirst().source());
        Files.writeString(merged.resolve("f"), "x");
        snapshotter.remove("c");
        assertThat(fixture.layout().snapshots()).isEmptyDirectory();
        assertThat(MountInfo.ofSelf()).noneMatch(mount -> mount.mountPoint().startsWith(directory + "/root/snapshots"));
        snapshotter.cleanup();
        assertThat(fixture.layout().trash()).isEmptyDirectory();
    }

    @Test
    void remove_does_not_fail_while_the_overlay_is_busy() throws Exception {
        Path merged = Path.of(snapshotter.prepare("c", "", Map.of()).getFirst().source());
        try (var open = Files.newOutputStream(merged.resolve("f"))) {
            open.write(1);
            snapshotter.remove("c");
            open.write(2);
        }
        refused(Category.NOT_FOUND, "c", () -> snapshotter.stat("c"));
    }

    @Test
    void list_gives_what_any_filter_selects() throws Exception {
        fixture.layer("base", "", "f", "x");
        snapshotter.prepare("default/1/c", "base", Map.of("color", "red"));
        snapshotter.view("v", "base", Map.of());
        assertThat(names()).containsExactlyInAnyOrder("base", "default/1/c", "v");
        assertThat(names("kind==active", "kind==view")).containsExactlyInAnyOrder("default/1/c", "v");
        assertThat(names("labels.color==red,parent==base")).containsExactly("default/1/c");
        refused(Category.INVALID_ARGUMENT, "", () -> snapshotter.list(List.of("kind===")));
    }

    private List<String> names(String... filters) throws SnapshotException {
        List<String> names = new ArrayList<>();
        snapshotter.list(List.of(filters)).forEachRemaining(info -> names.add(info.name()));
        return names;
    }

    @Test
    void four_hundred_layers_mount() throws Exception {
        String parent = "";
        for (int layer = 0; layer < 400; layer++) {
            fixture.layer("layer-" + layer, parent, "file-" + layer, "x");
            parent = "layer-" + layer;
        }
        Path merged =
                Path.of(snapshotter.prepare("c", parent, Map.of()).getFirst().source());
        assertThat(merged.resolve("file-0")).exists();
        assertThat(merged.resolve("file-399")).exists();
    }
}
