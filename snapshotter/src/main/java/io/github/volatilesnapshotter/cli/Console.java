package io.github.volatilesnapshotter.cli;

import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.NoSuchFileException;

/** What the commands say to people. */
final class Console {
    private Console() {}

    @SuppressWarnings("SystemOut")
    static void print(String text) {
        System.out.print(text);
        System.out.flush();
    }

    /** Says on standard error what went wrong, and gives the exit code for it. */
    static int fail(Throwable failure) {
        return fail(message(failure));
    }

    /** For several failures of the file system the message is the path alone. */
    static String message(Throwable failure) {
        return switch (failure) {
            case NoSuchFileException missing -> missing.getFile() + " does not exist";
            case AccessDeniedException denied -> denied.getFile() + ": permission denied";
            case FileAlreadyExistsException inTheWay -> inTheWay.getFile() + " is there already, and is no directory";
            default -> failure.getMessage() == null ? failure.toString() : failure.getMessage();
        };
    }

    static int fail(String message) {
        say("error: " + message);
        return ExitCode.FAILED;
    }

    /** Prints one line on standard error. */
    @SuppressWarnings("SystemOut")
    static void say(String line) {
        System.err.println(line);
    }
}
