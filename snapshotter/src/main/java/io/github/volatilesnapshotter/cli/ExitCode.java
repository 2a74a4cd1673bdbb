package io.github.volatilesnapshotter.cli;

/** What the commands tell the shell; 2, for wrong usage, is picocli's. */
final class ExitCode {
    static final int OK = 0;
    static final int FAILED = 1;
    /** volatilectl: nobody answers on the socket. */
    static final int UNREACHABLE = 3;

    private ExitCode() {}
}
