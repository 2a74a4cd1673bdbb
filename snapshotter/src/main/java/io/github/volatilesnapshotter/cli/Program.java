package io.github.volatilesnapshotter.cli;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * A program with commands. It is not picocli, because that library is a quarter of a second of the daemon's start: its classes are in a
 * format so old that no AOT cache takes them (measured on two busy cores, JDK 25).
 *
 * @param failures turns what a command threw into words for people and an exit code
 */
record Program(String name, String description, List<Command> commands, Failures failures) {
    /** What to say and exit with when a command failed. */
    @FunctionalInterface
    interface Failures {
        int report(Exception failure);
    }

    private static final int HELP_COLUMN = 32;

    /** Runs what the arguments ask for and returns the exit code. */
    int run(String... arguments) {
        try {
            return run(Arguments.parse(allFlags(), List.of(arguments)));
        } catch (UsageException e) {
            Console.fail(e);
            Console.say("See " + name + " --help");
            return ExitCode.WRONG_USAGE;
        }
    }

    private int run(Arguments arguments) throws UsageException {
        if (arguments.has(Flag.VERSION)) {
            String version = Program.class.getPackage().getImplementationVersion();
            Console.print(name + " " + (version == null ? "unpackaged" : version) + "\n");
            return ExitCode.OK;
        } else if (arguments.has(Flag.HELP)) {
            Console.print(help(arguments.words()));
            return ExitCode.OK;
        }
        return run(find(arguments.words()), arguments);
    }

    @SuppressWarnings("CatchingUnchecked") // whatever happened is told in one line
    private int run(Command command, Arguments arguments) throws UsageException {
        List<String> operands = arguments
                .words()
                .subList(command.nameWords().size(), arguments.words().size());
        if (operands.size() != command.operands().size()) {
            throw new UsageException("expected " + name + " " + command.usage());
        }
        for (Flag flag : arguments.flags()) {
            if (!command.flags().contains(flag)) {
                throw new UsageException(command.name() + " has no flag " + flag.name());
            }
        }
        try {
            return command.action().run(arguments, operands);
        } catch (UsageException e) {
            throw e;
        } catch (Exception e) {
            return failures.report(e);
        }
    }

    private Command find(List<String> words) throws UsageException {
        for (Command command : commands) {
            if (startsWith(words, command.nameWords())) {
                return command;
            }
        }
        throw new UsageException(words.isEmpty() ? "no command given" : "unknown command " + String.join(" ", words));
    }

    private Set<Flag> allFlags() {
        Set<Flag> flags = new LinkedHashSet<>(List.of(Flag.HELP, Flag.VERSION));
        commands.forEach(command -> flags.addAll(command.flags()));
        return flags;
    }

    /** The help for the commands that begin with the words; each flag once. */
    private String help(List<String> words) {
        List<Command> shown = commands.stream()
                .filter(command -> startsWith(command.nameWords(), words) || startsWith(words, command.nameWords()))
                .toList();
        StringBuilder text = new StringBuilder(description).append("\n\n");
        for (Command command : shown) {
            row(text, name + " " + command.usage(), command.description());
        }
        Set<Flag> flags = new LinkedHashSet<>();
        shown.forEach(command -> flags.addAll(command.flags()));
        flags.addAll(List.of(Flag.HELP, Flag.VERSION));
        text.append('\n');
        for (Flag flag : flags) {
            row(text, flag.usage(), flag.description() + ofWhich(flag, shown));
        }
        if (shown.size() == 1 && !shown.getFirst().details().isEmpty()) {
            text.append('\n').append(shown.getFirst().details()).append('\n');
        }
        return text.toString();
    }

    /** The commands that have the flag, where others that are shown have not; each on a line would be a long list. */
    private static String ofWhich(Flag flag, List<Command> shown) {
        List<String> having = shown.stream()
                .filter(command -> command.flags().contains(flag))
                .map(Command::name)
                .toList();
        return having.isEmpty() || having.size() == shown.size() ? "" : "\nOf " + String.join(", ", having) + ".";
    }

    private static void row(StringBuilder text, String left, String right) {
        List<String> lines = new ArrayList<>(List.of(right.split("\n")));
        if (left.length() < HELP_COLUMN - 1) {
            text.append("  ").append(left).repeat(' ', HELP_COLUMN - left.length());
            text.append(lines.removeFirst()).append('\n');
        } else {
            text.append("  ").append(left).append('\n');
        }
        for (String line : lines) {
            text.repeat(' ', HELP_COLUMN + 2).append(line).append('\n');
        }
    }

    private static boolean startsWith(List<String> words, List<String> beginning) {
        return words.size() >= beginning.size()
                && words.subList(0, beginning.size()).equals(beginning);
    }
}
