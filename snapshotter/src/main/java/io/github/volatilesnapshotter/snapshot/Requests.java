package io.github.volatilesnapshotter.snapshot;

import io.github.volatilesnapshotter.snapshot.SnapshotException.Category;
import java.nio.charset.StandardCharsets;
import java.util.Map;

/** Bounds on what a client may send. */
final class Requests {
    /** Longer keys and names serve nobody: a backend key is a namespace, a number and a container's id or a layer's chain id. */
    static final int MAXIMUM_KEY_BYTES = 4096;

    /** containerd's own bound on one label, key and value together ({@code pkg/labels/validate.go}). */
    static final int MAXIMUM_LABEL_BYTES = 4096;

    private static final int SHOWN_LABEL_KEY_CHARACTERS = 64;

    private Requests() {}

    /**
     * Refuses an empty and an overlong key or name.
     *
     * @param what how the message calls it: {@code key}, {@code name} or {@code parent}
     */
    static void checkKey(String what, String key) throws SnapshotException {
        if (key.isEmpty()) {
            throw new SnapshotException(Category.INVALID_ARGUMENT, what + " is empty");
        }
        int length = utf8Length(key);
        if (length > MAXIMUM_KEY_BYTES) {
            throw new SnapshotException(
                    Category.INVALID_ARGUMENT,
                    what + " beginning with \"" + beginning(key) + "\" has " + length + " bytes, more than "
                            + MAXIMUM_KEY_BYTES);
        }
    }

    /** Refuses labels that containerd would refuse. */
    static void checkLabels(Map<String, String> labels) throws SnapshotException {
        for (Map.Entry<String, String> label : labels.entrySet()) {
            int length = utf8Length(label.getKey()) + utf8Length(label.getValue());
            if (length > MAXIMUM_LABEL_BYTES) {
                throw new SnapshotException(
                        Category.INVALID_ARGUMENT,
                        "label key and value length (" + length + " bytes) greater than maximum size ("
                                + MAXIMUM_LABEL_BYTES + " bytes), key: " + beginning(label.getKey()));
            }
        }
    }

    private static String beginning(String text) {
        return text.length() <= SHOWN_LABEL_KEY_CHARACTERS ? text : text.substring(0, SHOWN_LABEL_KEY_CHARACTERS);
    }

    private static int utf8Length(String text) {
        return text.getBytes(StandardCharsets.UTF_8).length;
    }
}
