package io.github.volatilesnapshotter.lab;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** Runs a {@link FuseDiskProcess} and tells it what to do, by pipes: they work in every state of the disk. */
final class FuseDiskControl implements AutoCloseable {
    private static final Duration ANSWER_BOUND = Duration.ofSeconds(10);
    private static final String END = "its output has ended";

    private final FuseDiskDirectory directory;
    private final Process process;
    private final Writer commands;
    private final BlockingQueue<String> answers = new LinkedBlockingQueue<>();

    private FuseDiskControl(FuseDiskDirectory directory, Process process) {
        this.directory = directory;
        this.process = process;
        this.commands = process.outputWriter();
        Thread.ofVirtual().name("answers of " + process.pid()).start(this::readAnswers);
    }

    /**
     * Starts the process.
     *
     * @param bytes size of the disk
     * @param cacheBytes how much memory may be taken for what a write cache may lose; 0 for a disk without one
     * @return after the file is there
     */
    static FuseDiskControl start(FuseDiskDirectory directory, long bytes, long cacheBytes) throws IOException {
        Process process = new ProcessBuilder(
                        // Out of reach of a Ctrl-C, which would take the disk from those who still clean it up.
                        "setsid",
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        // Each disk has to start one: the cheapest compiler and collector start soonest.
                        "-XX:TieredStopAtLevel=1",
                        "-XX:+UseSerialGC",
                        // What was replaced is on the heap; the collector wants some room to copy it.
                        "-Xmx" + (64 + 3 * (cacheBytes >> 20)) + "m",
                        "-XX:MaxDirectMemorySize=" + bytes / 4 * 3,
                        // The JVM's own words would be taken for answers.
                        "-Xlog:disable",
                        "-Xlog:all=warning:stderr",
                        "--enable-native-access=ALL-UNNAMED",
                        "-classpath",
                        System.getProperty("java.class.path"),
                        FuseDiskProcess.class.getName(),
                        directory.path().toString(),
                        Long.toString(bytes),
                        Long.toString(cacheBytes))
                .redirectError(directory.log().toFile())
                .start();
        FuseDiskControl control = new FuseDiskControl(directory, process);
        try {
            control.awaitAnswer("start");
            return control;
        } catch (IOException e) {
            try {
                control.close();
            } catch (IOException closing) {
                e.addSuppressed(closing);
            }
            throw e;
        }
    }

    /**
     * Has the process obey a command.
     *
     * @throws IOException with what was wrong, or that there was no answer within 10 s
     */
    void tell(String command) throws IOException {
        commands.write(command + "\n");
        commands.flush();
        awaitAnswer(command);
    }

    private void awaitAnswer(String command) throws IOException {
        String answer;
        try {
            answer = answers.poll(ANSWER_BOUND.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(command + ": interrupted", e);
        }
        if (answer == null) {
            throw new IOException(command + ": no answer within " + ANSWER_BOUND + said());
        }
        if (!answer.equals(FuseDiskProcess.OK)) {
            throw new IOException(command + ": " + answer + said());
        }
    }

    private String said() throws IOException {
        return "; process " + process.pid() + " said: "
                + (Files.exists(directory.log())
                        ? Files.readString(directory.log()).strip()
                        : "");
    }

    private void readAnswers() {
        try (BufferedReader lines = process.inputReader()) {
            lines.lines().forEach(answers::add);
            answers.add(END);
        } catch (IOException e) {
            answers.add(e.toString());
        }
    }

    long pid() {
        return process.pid();
    }

    /** Ends the process, which heals and unmounts everything before, or is killed after 10 s. May be repeated. */
    @Override
    public void close() throws IOException {
        try {
            commands.close();
        } catch (IOException _) {
            // What was not written can't be for a process that has ended.
        }
        try {
            if (!process.waitFor(ANSWER_BOUND.toMillis(), TimeUnit.MILLISECONDS)) {
                process.destroyForcibly();
                throw new IOException("process " + process.pid() + " had to be killed" + said());
            }
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
