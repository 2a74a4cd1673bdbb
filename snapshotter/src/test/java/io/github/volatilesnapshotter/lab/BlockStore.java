package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.ByteBuffer;

/** Where the bytes of a {@link FuseDisk} are kept. Any thread. */
interface BlockStore {
    /** Fills the rest of a buffer with what was written at an offset in bytes, zeros where nothing was. */
    void read(ByteBuffer into, long offset);

    /**
     * Stores the rest of a buffer at an offset in bytes.
     *
     * @throws IOException if there is no room; nothing may be stored then, or a part
     */
    void write(ByteBuffer from, long offset) throws IOException;

    /** Returns after everything written before is where a power cut can't take it. */
    void flush();
}
