package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.metadata.Role;
import java.util.Map;

/**
 * Which active snapshots are volatile. Those that become a layer are not, whatever else is asked: their data must be on disk when
 * they are committed, and containerd's applier needs to see a plain overlay to write into its upper.
 *
 * @param volatileByDefault what an active gets that says nothing of itself
 */
record RoleRule(boolean volatileByDefault) {
    Role roleOf(String key, Map<String, String> labels) {
        String clientKey = BackendKey.parse(key).clientKey();
        if (isUnpack(key, labels) || isMadeDurable(clientKey, labels)) {
            return Role.DURABLE;
        }
        String asked = labels.get(Labels.VOLATILE);
        if ("false".equals(asked)) {
            return Role.DURABLE;
        }
        if ("true".equals(asked) || labels.containsKey(Labels.OVERLAY_VOLATILE)) {
            return Role.VOLATILE;
        }
        return volatileByDefault ? Role.VOLATILE : Role.DURABLE;
    }

    /** Whether containerd writes a layer of an image there: it names the snapshot so, or by what it will be committed as. */
    static boolean isUnpack(String key, Map<String, String> labels) {
        return BackendKey.parse(key).clientKey().startsWith("extract-") || labels.containsKey(Labels.SNAPSHOT_REF);
    }

    private static boolean isMadeDurable(String clientKey, Map<String, String> labels) {
        // An overlay mount can't be id-mapped (EINVAL from mount_setattr): the client must mount these itself.
        return labels.containsKey(Labels.UID_MAPPING)
                || labels.containsKey(Labels.GID_MAPPING)
                // containerd's chown of a whole rootfs, and docker's init layer: both are committed at once.
                || clientKey.endsWith("-remap")
                || clientKey.endsWith("-init-key");
    }
}
