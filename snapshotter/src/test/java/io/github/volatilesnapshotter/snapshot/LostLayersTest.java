package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.assertj.core.api.ThrowableAssert.ThrowingCallable;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** A layer's directory is taken away while the daemon runs; {@link RecoveryStatesTest} has the starts. */
@Tag("kernel")
class LostLayersTest extends SnapshotterKit {
    private static final Duration BOUND = Duration.ofSeconds(20);

    /** The first layer that a root gets. */
    private static final long BASE = 1;

    private Snapshotter snapshotter;

    @BeforeEach
    void start() throws Exception {
        snapshotter = fixture.snapshotter();
        fixture.layer("base", "", "file", "from below");
        fixture.layer("top", "base", "more", "from above");
    }

    private void takeBaseAway() throws Exception {
        Files.move(fixture.layout().snapshot(BASE), directory.resolve("elsewhere"));
    }

    private void refused(ThrowingCallable request) throws Exception {
        assertThatThrownBy(request)
                .isInstanceOfSatisfying(
                        SnapshotException.class, e -> assertThat(e.category()).isEqualTo(Category.FAILED_PRECONDITION))
                .hasMessageContaining(
                        "stands on layer base, whose directory snapshots/" + BASE + "/fs"
                                + " is gone: remove the containers and images that use it (ctr image rm --sync), and pull them again");
        assertThat(fixture.poison("base")).isEqualTo("missing");
    }

    @Test
    void a_container_on_it_is_refused_with_what_is_gone_and_leaves_nothing() throws Exception {
        takeBaseAway();
        refused(() -> snapshotter.prepare("default/1/c", "top", Map.of()));
        assertThat(fixture.layout().snapshots().toFile().list()).hasSize(1);
        refused(() -> snapshotter.prepare("default/1/c", "base", Map.of()));
    }

    @Test
    void a_layer_on_it_is_refused() throws Exception {
        takeBaseAway();
        refused(() -> snapshotter.prepare("extract-1", "top", Map.of()));
    }

    @Test
    void a_view_of_it_is_refused() throws Exception {
        takeBaseAway();
        refused(() -> snapshotter.view("view", "top", Map.of()));
    }

    @Test
    void a_commit_onto_it_is_refused_and_leaves_the_active() throws Exception {
        snapshotter.prepare("extract-1", "", Map.of());
        takeBaseAway();
        refused(() -> snapshotter.commit("name", "extract-1", "top", Map.of(), Cancellation.NEVER));
        assertThat(snapshotter.stat("extract-1").kind()).isEqualTo(Kind.ACTIVE);
        assertThat(fixture.poison("extract-1")).isEmpty();
    }

    @Test
    void a_commit_of_what_was_prepared_on_it_is_refused() throws Exception {
        snapshotter.prepare("extract-1", "top", Map.of());
        takeBaseAway();
        refused(() -> snapshotter.commit("name", "extract-1", "", Map.of(), Cancellation.NEVER));
    }

    @Test
    void a_commit_onto_one_that_was_lost_before_the_start_is_refused() throws Exception {
        snapshotter.prepare("extract-1", "", Map.of());
        fixture.stop();
        takeBaseAway();
        fixture.start();
        snapshotter = fixture.snapshotter();
        refused(() -> snapshotter.commit("name", "extract-1", "base", Map.of(), Cancellation.NEVER));
    }

    @Test
    void it_is_found_by_itself_and_then_mounts_of_what_stands_on_it_are_refused() throws Exception {
        snapshotter.view("view", "top", Map.of());
        Path container = fixture.container("default/1/c", "top");
        takeBaseAway();
        await().atMost(BOUND).until(() -> fixture.metric("lost_layers") == 1);
        refused(() -> snapshotter.mounts("view"));
        assertThat(snapshotter.mounts("default/1/c")).as("has its layers open").hasSize(1);
        assertThat(container.resolve("file")).hasContent("from below");
        assertThat(fixture.poison("top")).as("its own directory is there").isEmpty();
    }

    @Test
    void one_that_is_put_back_is_a_layer_again() throws Exception {
        Path elsewhere = directory.resolve("elsewhere");
        takeBaseAway();
        refused(() -> snapshotter.prepare("default/1/c", "top", Map.of()));
        Files.move(elsewhere, fixture.layout().snapshot(BASE));
        assertThat(fixture.container("default/1/c", "top").resolve("file")).hasContent("from below");

        takeBaseAway();
        await().atMost(BOUND).until(() -> fixture.metric("lost_layers") == 1);
        Files.move(elsewhere, fixture.layout().snapshot(BASE));
        await().atMost(BOUND).until(() -> fixture.metric("lost_layers") == 0);
        assertThat(fixture.poison("base")).isEmpty();
    }

    @Test
    void a_layer_that_was_removed_is_not_lost_and_one_that_is_lost_can_be_removed() throws Exception {
        fixture.layer("other", "", "file", "x");
        snapshotter.remove("other");
        takeBaseAway();
        await().atMost(BOUND).until(() -> fixture.metric("lost_layers") == 1);
        for (String name : List.of("top", "base")) {
            snapshotter.remove(name);
        }
        assertThat(fixture.metric("lost_layers")).isZero();
        fixture.layer("base", "", "file", "unpacked again");
    }
}
