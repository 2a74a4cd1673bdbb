package io.github.volatilesnapshotter.cli;

import org.jspecify.annotations.Nullable;

/**
 * One flag of a command line.
 *
 * @param name with its dashes: {@code --root}
 * @param parameter what the help calls its value; null for a flag without one
 */
record Flag(String name, @Nullable String parameter, String description) {
    static final Flag HELP = new Flag("--help", null, "Shows this help.");
    static final Flag VERSION = new Flag("--version", null, "Shows the version.");

    /** As the help shows it. */
    String usage() {
        return parameter == null ? name : name + " " + parameter;
    }
}
