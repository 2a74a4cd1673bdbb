package io.github.volatilesnapshotter.metadata;

import com.google.re2j.Pattern;
import com.google.re2j.PatternSyntaxException;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * containerd's filter language ({@code pkg/filters} of containerd 2.3): {@code name==a,labels."b c"} wants both, several
 * expressions want any. Selectors are a field path alone (the field is there), or a field path, one of {@code ==}, {@code !=} and
 * {@code ~=}, and a value.
 *
 * <p>As in containerd a field that is not there has the text "" for {@code !=} and {@code ~=}, and a regular expression that
 * does not compile selects nothing.
 */
public final class Filters {
    /** A filter quotes a key or a label, of at most 4 KiB each, once or a few times. */
    static final int MAX_EXPRESSION_CHARACTERS = 64 * 1024;

    static final int MAX_EXPRESSIONS = 1_024;

    private static final Filter EVERYTHING = fields -> true;

    private Filters() {}

    /**
     * A filter that selects what any of the expressions selects; everything if there are none. An empty expression selects
     * everything.
     *
     * @throws FilterSyntaxException if one of them is not well-formed, or larger than a filter has reason to be
     */
    public static Filter parse(List<String> expressions) throws FilterSyntaxException {
        if (expressions.isEmpty()) {
            return EVERYTHING;
        }
        if (expressions.size() > MAX_EXPRESSIONS) {
            throw new FilterSyntaxException(
                    "filters: " + expressions.size() + " expressions, at most " + MAX_EXPRESSIONS + " are taken");
        }
        List<Filter> alternatives = new ArrayList<>(expressions.size());
        for (String expression : expressions) {
            alternatives.add(parse(expression));
        }
        return alternatives.size() == 1 ? alternatives.getFirst() : new Any(alternatives);
    }

    private static Filter parse(String expression) throws FilterSyntaxException {
        if (expression.isEmpty()) {
            return EVERYTHING;
        }
        if (expression.length() > MAX_EXPRESSION_CHARACTERS) {
            throw new FilterSyntaxException("filters: an expression of " + expression.length() + " characters, at most "
                    + MAX_EXPRESSION_CHARACTERS + " are taken");
        }
        return new FilterParser(expression).parse();
    }

    record Any(List<Filter> alternatives) implements Filter {
        @Override
        public boolean matches(Fields fields) {
            return alternatives.stream().anyMatch(filter -> filter.matches(fields));
        }
    }

    record All(List<Filter> selectors) implements Filter {
        @Override
        public boolean matches(Fields fields) {
            return selectors.stream().allMatch(filter -> filter.matches(fields));
        }
    }

    record Present(List<String> path) implements Filter {
        @Override
        public boolean matches(Fields fields) {
            return fields.field(path).isPresent();
        }
    }

    record Equal(List<String> path, String value) implements Filter {
        @Override
        public boolean matches(Fields fields) {
            return fields.field(path).filter(value::equals).isPresent();
        }
    }

    record NotEqual(List<String> path, String value) implements Filter {
        @Override
        public boolean matches(Fields fields) {
            return !fields.field(path).orElse("").equals(value);
        }
    }

    /**
     * Finds the expression anywhere in the field.
     *
     * @param expression null if it does not compile
     */
    record Found(List<String> path, @Nullable Pattern expression) implements Filter {
        static Found of(List<String> path, String expression) {
            try {
                return new Found(path, Pattern.compile(expression));
            } catch (PatternSyntaxException e) {
                return new Found(path, null); // containerd logs it and selects nothing (filter.go, selector.Match)
            }
        }

        @Override
        public boolean matches(Fields fields) {
            return expression != null
                    && expression.matcher(fields.field(path).orElse("")).find();
        }
    }
}
