package io.github.volatilesnapshotter.snapshot;

import java.util.Locale;

/** containerd's kinds of snapshot. */
public enum Kind {
    VIEW,
    ACTIVE,
    COMMITTED;

    /** The word that containerd's filters use: {@code view}, {@code active}, {@code committed}. */
    public String word() {
        return name().toLowerCase(Locale.ROOT);
    }
}
