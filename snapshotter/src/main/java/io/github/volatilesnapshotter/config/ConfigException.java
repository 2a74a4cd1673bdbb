package io.github.volatilesnapshotter.config;

import java.util.List;

/** A configuration that cannot be used. The message has a line for each problem, for people. */
public final class ConfigException extends Exception {
    private static final long serialVersionUID = 1;

    ConfigException(String message) {
        super(message);
    }

    ConfigException(String source, List<String> problems) {
        super(source + ":\n  " + String.join("\n  ", problems));
    }
}
