package io.github.volatilesnapshotter.config;

import java.nio.file.Path;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import org.tomlj.TomlArray;
import org.tomlj.TomlPosition;
import org.tomlj.TomlTable;

/**
 * One table of the file, read key by key. A value of the wrong type or out of bounds adds a problem and reads as the default. Every
 * key that is asked for is known; what is left at the end is not.
 */
final class Section {
    private final String name;
    private final @Nullable TomlTable table;
    private final List<String> problems;
    private final Set<String> known = new LinkedHashSet<>();

    /**
     * @param name the table's name, empty for the file itself
     * @param table null if the file does not have it
     */
    Section(String name, @Nullable TomlTable table, List<String> problems) {
        this.name = name;
        this.table = table;
        this.problems = problems;
    }

    static String at(@Nullable TomlPosition position) {
        return position == null ? "line 1" : "line " + position.line() + ", column " + position.column();
    }

    static String word(Enum<?> value) {
        return value.name().toLowerCase(Locale.ROOT);
    }

    void requireVersion(long version) {
        Object value = value("version");
        if (value == null) {
            problems.add("line 1: version is missing; write version = " + version);
        } else if (!value.equals(version)) {
            problem("version", "must be " + version + ": this is the only version that this program reads");
        }
    }

    Section section(String key) {
        Object value = value(key);
        if (value != null && !(value instanceof TomlTable)) {
            problem(key, "must be a table, written [" + key + "]");
        }
        return new Section(key, value instanceof TomlTable child ? child : null, problems);
    }

    boolean bool(String key, boolean otherwise) {
        return read(key, otherwise, "must be true or false", value -> as(Boolean.class, value));
    }

    int integer(String key, int otherwise, int minimum, int maximum) {
        return read(
                key,
                otherwise,
                "must be a whole number from " + minimum + " to " + maximum,
                value -> integerWithin(value, minimum, maximum));
    }

    Set<Integer> integers(String key, Set<Integer> otherwise, int minimum, int maximum) {
        return read(
                key,
                otherwise,
                "must be a list of whole numbers from " + minimum + " to " + maximum + ", and not empty",
                value -> integersWithin(as(TomlArray.class, value), minimum, maximum));
    }

    Path path(String key, Path otherwise) {
        return read(key, otherwise, "must be an absolute path", Section::absolutePath);
    }

    /** An empty text means none. */
    Optional<Path> optionalPath(String key, Optional<Path> otherwise) {
        return read(
                key,
                otherwise,
                "must be an absolute path, or empty",
                value -> value.equals("") ? Optional.empty() : Optional.of(absolutePath(value)));
    }

    /** An empty text means none. */
    Optional<ListenAddress> optionalListenAddress(String key, Optional<ListenAddress> otherwise) {
        return read(
                key,
                otherwise,
                "must be HOST:PORT, or empty",
                value -> value.equals("")
                        ? Optional.empty()
                        : Optional.of(ListenAddress.parse(as(String.class, value))));
    }

    <E extends Enum<E>> E choice(String key, E otherwise, List<E> choices) {
        return read(
                key,
                otherwise,
                "must be one of "
                        + choices.stream()
                                .map(choice -> "\"" + word(choice) + "\"")
                                .collect(Collectors.joining(", ")),
                value -> choices.stream()
                        .filter(choice -> word(choice).equals(value))
                        .findFirst()
                        .orElseThrow(IllegalArgumentException::new));
    }

    void refuseUnknownKeys() {
        if (table == null) {
            return;
        }
        for (String key : table.keySet()) {
            if (!known.contains(key)) {
                String nearest = known.stream()
                        .min(Comparator.comparingInt(candidate -> editDistance(key, candidate)))
                        .orElseThrow();
                problem(key, "is not known; did you mean " + qualified(nearest) + "?");
            }
        }
    }

    /** The value, or the other one after adding a problem where the reader throws {@link IllegalArgumentException}. */
    private <T> T read(String key, T otherwise, String rule, Function<Object, T> reader) {
        Object value = value(key);
        if (value == null) {
            return otherwise;
        }
        try {
            return reader.apply(value);
        } catch (IllegalArgumentException e) {
            problem(key, rule);
            return otherwise;
        }
    }

    private @Nullable Object value(String key) {
        known.add(key);
        return table == null ? null : table.get(List.of(key));
    }

    private void problem(String key, String rule) {
        TomlPosition position = table == null ? null : table.inputPositionOf(List.of(key));
        problems.add(at(position) + ": " + qualified(key) + " " + rule);
    }

    private String qualified(String key) {
        return name.isEmpty() ? key : name + "." + key;
    }

    private static <T> T as(Class<T> type, Object value) {
        if (!type.isInstance(value)) {
            throw new IllegalArgumentException("not a " + type.getSimpleName());
        }
        return type.cast(value);
    }

    private static int integerWithin(Object value, int minimum, int maximum) {
        long number = as(Long.class, value);
        if (number < minimum || number > maximum) {
            throw new IllegalArgumentException(number + " is out of bounds");
        }
        return (int) number;
    }

    private static Set<Integer> integersWithin(TomlArray array, int minimum, int maximum) {
        Set<Integer> integers = new LinkedHashSet<>();
        for (Object element : array.toList()) {
            integers.add(integerWithin(element, minimum, maximum));
        }
        if (integers.isEmpty()) {
            throw new IllegalArgumentException("empty");
        }
        return integers;
    }

    private static Path absolutePath(Object value) {
        Path path = Path.of(as(String.class, value));
        if (!path.isAbsolute()) {
            throw new IllegalArgumentException(path + " is relative");
        }
        return path.normalize();
    }

    /** Levenshtein's distance: how many letters must be put in, left out or exchanged. */
    private static int editDistance(String from, String to) {
        int[] previous = new int[to.length() + 1];
        for (int column = 0; column <= to.length(); column++) {
            previous[column] = column;
        }
        for (int row = 1; row <= from.length(); row++) {
            int[] current = new int[to.length() + 1];
            current[0] = row;
            for (int column = 1; column <= to.length(); column++) {
                int exchanged = previous[column - 1] + (from.charAt(row - 1) == to.charAt(column - 1) ? 0 : 1);
                current[column] = Math.min(exchanged, 1 + Math.min(previous[column], current[column - 1]));
            }
            previous = current;
        }
        return previous[to.length()];
    }
}
