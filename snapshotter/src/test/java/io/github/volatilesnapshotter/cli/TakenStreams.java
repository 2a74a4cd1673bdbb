package io.github.volatilesnapshotter.cli;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;

/** Standard output and standard error, taken until this is closed; only for tests that nothing else runs beside. */
final class TakenStreams implements AutoCloseable {
    private final PrintStream standardOutput = System.out;
    private final PrintStream standardError = System.err;
    private final ByteArrayOutputStream output = new ByteArrayOutputStream();
    private final ByteArrayOutputStream errors = new ByteArrayOutputStream();

    TakenStreams() {
        System.setOut(new PrintStream(output, true, StandardCharsets.UTF_8));
        System.setErr(new PrintStream(errors, true, StandardCharsets.UTF_8));
    }

    /** What was printed since the last {@link #forget}. */
    String output() {
        return output.toString(StandardCharsets.UTF_8);
    }

    /** What was printed on standard error since the last {@link #forget}. */
    String errors() {
        return errors.toString(StandardCharsets.UTF_8);
    }

    void forget() {
        output.reset();
        errors.reset();
    }

    @Override
    public void close() {
        System.setOut(standardOutput);
        System.setErr(standardError);
    }
}
