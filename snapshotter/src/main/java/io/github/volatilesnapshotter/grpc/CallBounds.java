package io.github.volatilesnapshotter.grpc;

/**
 * After how long a call is answered although it is not done.
 *
 * @param callMillis of every call; longer than what each wait within a call has as a bound of its own, so that such a wait, which
 *     knows more, can say what it waited for
 * @param commitMillis how much longer a Commit may take: what it waits for the disk
 */
record CallBounds(long callMillis, long commitMillis) {
    private static final long LONGEST_TURN_MILLIS = 1_000;
    private static final int TURNS = 10;

    long millisOf(Rpc rpc) {
        return rpc == Rpc.COMMIT ? callMillis + commitMillis : callMillis;
    }

    /** How often to look for calls over their bound: an answer comes this much too late at most. */
    long turnMillis() {
        return Math.clamp(callMillis / TURNS, 1, LONGEST_TURN_MILLIS);
    }
}
