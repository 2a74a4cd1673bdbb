package io.github.volatilesnapshotter.cli;

/** A command line that cannot be understood. The message says which part, for people. */
final class UsageException extends Exception {
    private static final long serialVersionUID = 1;

    UsageException(String message) {
        super(message);
    }
}
