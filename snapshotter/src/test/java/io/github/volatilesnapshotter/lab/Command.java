package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/** Programs of the system, run to their end. */
public final class Command {
    private static final int TIMEOUT_SECONDS = 60;

    private Command() {}

    /**
     * Runs a program.
     *
     * @return what it wrote to both of its outputs, without white space at the ends
     * @throws IOException with the whole command line and what it wrote, if it fails or does not end within a minute
     */
    public static String run(String... commandLine) throws IOException {
        String name = String.join(" ", commandLine);
        // A file and not a pipe: a mount helper that stays behind would hold a pipe open, and reading would never end.
        Path output = Files.createTempFile("command", ".out");
        try {
            Process process = new ProcessBuilder(commandLine)
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .start();
            if (!process.waitFor(TIMEOUT_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IOException(name + ": no end within " + TIMEOUT_SECONDS + " s: " + Files.readString(output));
            }
            String written = Files.readString(output).strip();
            if (process.exitValue() != 0) {
                throw new IOException(name + ": exit status " + process.exitValue() + ": " + written);
            }
            return written;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(name + ": interrupted", e);
        } finally {
            Files.delete(output);
        }
    }
}
