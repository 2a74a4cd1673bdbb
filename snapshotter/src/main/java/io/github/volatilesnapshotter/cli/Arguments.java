package io.github.volatilesnapshotter.cli;

import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * A command line taken apart: words, and flags with their values. Flags may stand anywhere and be written {@code --flag VALUE} or {@code
 * --flag=VALUE}; after {@code --} everything is a word, so that a key can begin with a dash.
 */
final class Arguments {
    private final List<String> words;
    private final Map<Flag, String> values;

    private Arguments(List<String> words, Map<Flag, String> values) {
        this.words = words;
        this.values = values;
    }

    static Arguments parse(Collection<Flag> flags, List<String> arguments) throws UsageException {
        List<String> words = new ArrayList<>();
        Map<Flag, String> values = new HashMap<>();
        int next = 0;
        while (next < arguments.size()) {
            String argument = arguments.get(next++);
            if (argument.equals("--")) {
                words.addAll(arguments.subList(next, arguments.size()));
                break;
            } else if (!argument.startsWith("-")) {
                words.add(argument);
                continue;
            }
            int equals = argument.indexOf('=');
            Flag flag = find(flags, equals < 0 ? argument : argument.substring(0, equals));
            String value;
            if (flag.parameter() == null) {
                if (equals >= 0) {
                    throw new UsageException(flag.name() + " takes no value");
                }
                value = "";
            } else if (equals >= 0) {
                value = argument.substring(equals + 1);
            } else if (next < arguments.size()) {
                value = arguments.get(next++);
            } else {
                throw new UsageException(flag.name() + " needs a value: " + flag.usage());
            }
            if (values.put(flag, value) != null) {
                throw new UsageException(flag.name() + " is given twice");
            }
        }
        return new Arguments(List.copyOf(words), Map.copyOf(values));
    }

    List<String> words() {
        return words;
    }

    Set<Flag> flags() {
        return values.keySet();
    }

    boolean has(Flag flag) {
        return values.containsKey(flag);
    }

    Optional<String> valueOf(Flag flag) {
        return Optional.ofNullable(values.get(flag));
    }

    /**
     * The value as an absolute path without {@code .} and {@code ..}. A relative one is meant from the current directory, as shells
     * complete it; the kernel's list of mounts, in which the daemon looks for its own, has only such paths.
     */
    Optional<Path> pathOf(Flag flag) throws UsageException {
        Optional<String> text = valueOf(flag);
        // What a script gives whose variable is not set; it would be the current directory.
        if (text.filter(String::isEmpty).isPresent()) {
            throw new UsageException(flag.name() + " is empty");
        }
        try {
            return text.map(value -> Path.of(value).toAbsolutePath().normalize());
        } catch (InvalidPathException e) {
            throw new UsageException(flag.name() + ": " + e.getMessage());
        }
    }

    private static Flag find(Collection<Flag> flags, String name) throws UsageException {
        for (Flag flag : flags) {
            if (flag.name().equals(name)) {
                return flag;
            }
        }
        throw new UsageException("unknown flag " + name);
    }
}
