package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LabelChangeTest {
    private static final Map<String, String> CURRENT = Map.of("a", "1", "containerd.io/gc.root", "now");

    @Test
    void without_a_mask_all_labels_are_replaced() throws Exception {
        assertThat(LabelChange.apply("k", CURRENT, Map.of("b", "2"), List.of()))
                .containsExactlyEntriesOf(Map.of("b", "2"));
    }

    @Test
    void a_mask_of_one_label_sets_that_one() throws Exception {
        assertThat(LabelChange.apply("k", CURRENT, Map.of("a", "9", "b", "2"), List.of("labels.a")))
                .isEqualTo(Map.of("a", "9", "containerd.io/gc.root", "now"));
    }

    @Test
    void a_masked_label_that_is_not_given_is_deleted_also_with_dots_in_its_name() throws Exception {
        assertThat(LabelChange.apply("k", CURRENT, Map.of(), List.of("labels.containerd.io/gc.root")))
                .isEqualTo(Map.of("a", "1"));
    }

    @Test
    void an_empty_value_is_no_label() throws Exception {
        assertThat(LabelChange.apply("k", CURRENT, Map.of("a", ""), List.of("labels")))
                .isEmpty();
    }

    @Test
    void labels_of_ours_are_not_stored() {
        assertThat(LabelChange.stored(Map.of(Labels.POISONED, "crash", Labels.GENERATION, "1", "a", "1")))
                .isEqualTo(Map.of("a", "1"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"parent", "name", "labels.", "", "Labels", "kind"})
    void any_other_field_is_refused_by_name(String path) {
        assertThatThrownBy(() -> LabelChange.apply("the-key", CURRENT, Map.of(), List.of("labels.a", path)))
                .isInstanceOfSatisfying(
                        SnapshotException.class, e -> assertThat(e.category()).isEqualTo(Category.INVALID_ARGUMENT))
                .hasMessageContaining("the-key")
                .hasMessageContaining('"' + path + '"');
    }
}
