package io.github.volatilesnapshotter.snapshot;

/**
 * A key as containerd's metadata store hands it to a snapshotter: {@code <namespace>/<sequence>/<client key>}
 * ({@code core/metadata/snapshot.go}, createKey). The client key can hold slashes and spaces, so only the first two slashes
 * divide. A key of another form is all client key.
 */
record BackendKey(String namespace, String clientKey) {
    static BackendKey parse(String key) {
        int first = key.indexOf('/');
        int second = first < 0 ? -1 : key.indexOf('/', first + 1);
        if (second < 0 || !isNumber(key, first + 1, second)) {
            return new BackendKey("", key);
        }
        return new BackendKey(key.substring(0, first), key.substring(second + 1));
    }

    private static boolean isNumber(String text, int from, int to) {
        return from < to && text.substring(from, to).chars().allMatch(c -> c >= '0' && c <= '9');
    }
}
