package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.metadata.Role;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class RoleRuleTest {
    private final RoleRule rule = new RoleRule(true);

    @ParameterizedTest
    @CsvSource({
        "default/1/extract-1-a sha256:0, DURABLE",
        "extract-1, DURABLE",
        "k8s.io/3/0123456789abcdef, VOLATILE",
        "default/4/sha256:abc-remap, DURABLE",
        "moby/5/0123-init-key, DURABLE",
        "default/6/my-extract-job, VOLATILE",
        "default/7/some/extract-path, VOLATILE",
    })
    void the_client_key_tells_layers_from_containers(String key, Role role) {
        assertThat(rule.roleOf(key, Map.of())).isEqualTo(role);
    }

    @Test
    void a_snapshot_that_will_be_a_layer_is_durable_whatever_its_labels_ask() {
        Map<String, String> labels = Map.of(Labels.SNAPSHOT_REF, "sha256:0", Labels.VOLATILE, "true");
        assertThat(rule.roleOf("default/1/x", labels)).isEqualTo(Role.DURABLE);
        assertThat(rule.roleOf("default/1/extract-x", Map.of(Labels.OVERLAY_VOLATILE, "")))
                .isEqualTo(Role.DURABLE);
    }

    @Test
    void an_id_mapped_snapshot_is_durable_because_an_overlay_mount_cannot_be_id_mapped() {
        assertThat(rule.roleOf("default/1/x", Map.of(Labels.UID_MAPPING, "0:100000:65536")))
                .isEqualTo(Role.DURABLE);
    }

    @Test
    void a_label_overrides_the_default_both_ways() {
        RoleRule durableByDefault = new RoleRule(false);
        assertThat(durableByDefault.roleOf("default/1/x", Map.of())).isEqualTo(Role.DURABLE);
        assertThat(durableByDefault.roleOf("default/1/x", Map.of(Labels.VOLATILE, "true")))
                .isEqualTo(Role.VOLATILE);
        assertThat(durableByDefault.roleOf("default/1/x", Map.of(Labels.OVERLAY_VOLATILE, "")))
                .isEqualTo(Role.VOLATILE);
        assertThat(rule.roleOf("default/1/x", Map.of(Labels.VOLATILE, "false"))).isEqualTo(Role.DURABLE);
    }

    @ParameterizedTest
    @CsvSource({
        "default/1/extract-1-a sha256:0, true",
        "default/7/some/extract-path, false",
        "default/4/sha256:abc-remap, false",
        "k8s.io/3/0123456789abcdef, false",
    })
    void not_all_that_is_durable_is_being_unpacked(String key, boolean isUnpack) {
        assertThat(RoleRule.isUnpack(key, Map.of(Labels.UID_MAPPING, "0:100000:65536", Labels.VOLATILE, "false")))
                .isEqualTo(isUnpack);
        assertThat(RoleRule.isUnpack(key, Map.of(Labels.SNAPSHOT_REF, "sha256:0")))
                .isTrue();
    }
}
