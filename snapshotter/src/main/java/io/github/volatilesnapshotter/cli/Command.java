package io.github.volatilesnapshotter.cli;

import java.util.List;

/**
 * One thing that a program can do.
 *
 * @param name one word or more: {@code config dump}
 * @param operands what the help calls the words that follow the name, all of which must be given
 * @param details what only the command's own help says, in lines; may be empty
 */
record Command(
        String name, List<String> operands, List<Flag> flags, String description, String details, Action action) {
    /** Runs the command. */
    @FunctionalInterface
    interface Action {
        /**
         * Returns the exit code.
         *
         * @param operands as many as the command has
         * @throws UsageException if a value cannot be used
         * @throws Exception if the command failed; the message is for people
         */
        int run(Arguments flags, List<String> operands) throws Exception;
    }

    Command {
        operands = List.copyOf(operands);
        flags = List.copyOf(flags);
    }

    /** One that its description explains. */
    Command(String name, List<String> operands, List<Flag> flags, String description, Action action) {
        this(name, operands, flags, description, "", action);
    }

    /** As the help shows it: name and operands. */
    String usage() {
        return operands.isEmpty() ? name : name + " " + String.join(" ", operands);
    }

    List<String> nameWords() {
        return List.of(name.split(" "));
    }
}
