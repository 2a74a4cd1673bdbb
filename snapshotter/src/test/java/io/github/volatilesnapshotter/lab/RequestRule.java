package io.github.volatilesnapshotter.lab;

import java.nio.ByteBuffer;

/** What becomes of the requests to a {@link FuseDisk}. Any thread. */
interface RequestRule {
    /** What the loop device asks for. */
    enum Kind {
        READ,
        WRITE,
        FLUSH
    }

    /**
     * Decides about a request; takes as long as the request shall take.
     *
     * @param content what is read or written, none for a flush; its position stays as it is
     * @return whether the request fails with EIO, and leaves everything as it was
     */
    boolean fails(Kind kind, ByteBuffer content) throws InterruptedException;
}
