package io.github.volatilesnapshotter.cli;

/** What the programs tell the shell. */
final class ExitCode {
    static final int OK = 0;
    static final int FAILED = 1;
    static final int WRONG_USAGE = 2;
    /** volatilectl: nobody answers on the socket. */
    static final int UNREACHABLE = 3;

    private ExitCode() {}
}
