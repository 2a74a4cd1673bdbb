package io.github.volatilesnapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.re2j.Pattern;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** The cases of containerd's {@code pkg/filters/filter_test.go} and what else its parser does. */
final class FiltersTest {
    private record Entry(String name, String other, Map<String, String> labels) implements Fields {
        @Override
        public Optional<String> field(List<String> path) {
            return switch (path.getFirst()) {
                case "name" -> Optional.of(name).filter(text -> !text.isEmpty());
                case "other" -> Optional.of(other).filter(text -> !text.isEmpty());
                case "labels" -> Optional.ofNullable(labels.get(String.join(".", path.subList(1, path.size()))));
                default -> Optional.empty();
            };
        }
    }

    private static final List<Entry> ENTRIES = List.of(
            new Entry("foo", "", Map.of("foo", "true")),
            new Entry("bar", "", Map.of()),
            new Entry("foo", "", Map.of("foo", "present", "more complex label", "present")),
            new Entry("bar", "", Map.of("bar", "true")),
            new Entry("fooer", "", Map.of("more complex label with \\ and \"", "present")),
            new Entry("fooer", "", Map.of("more complex label with \\ and \".post", "present")),
            new Entry("baz", "too complex, yo", Map.of()),
            new Entry("bazo", "abc", Map.of()),
            new Entry("compound", "", Map.of("foo", "omg_asdf.asdf-qwer")));

    private static final List<Integer> ALL = List.of(0, 1, 2, 3, 4, 5, 6, 7, 8);
    private static final List<Integer> NONE = List.of();

    /** Each program begins with a failure, and ends with a capture and a match. */
    private static final int FIXED_INSTRUCTIONS = 4;

    static Stream<Arguments> selections() {
        return Stream.of(
                selection("", ALL),
                selection("name", ALL),
                selection("labels.foo", List.of(0, 2, 8)),
                selection("labels.foo,name", List.of(0, 2, 8)),
                selection("labels.foo==true", List.of(0)),
                selection("labels.foo==omg_asdf.asdf-qwer", List.of(8)),
                selection("name==bar", List.of(1, 3)),
                selection("name!=bar", List.of(0, 2, 4, 5, 6, 7, 8)),
                selection("name==bar,labels.bar", List.of(3)),
                selection("other==\"too complex, yo\"", List.of(6)),
                selection("other~=[abc]+,name!=foo", List.of(6, 7)),
                selection("other~=/[abc]+/,name!=foo", List.of(6, 7)),
                selection("other~=/[abc]{1,2}/,name!=foo", List.of(6, 7)),
                selection("other~=/[abc]{0,1}\"\\//,name!=foo", NONE),
                selection("name==bar,labels.bar==true", List.of(3)),
                selection("name==bar,labels.bar==wrong", NONE),
                selection("name==foo,labels.\"more complex label\"", List.of(2)),
                selection("labels.\"more complex label with \\\\ and \\\"\"==present", List.of(4)),
                selection("labels.\"more complex label with \\\\ and \\\"\".post==present", List.of(5)),
                // not in containerd's table, seen in its code
                selection("name == bar", List.of(1, 3)),
                selection("name==bar, labels. bar", List.of(3)),
                selection("labels.foo!=true", List.of(1, 2, 3, 4, 5, 6, 7, 8)),
                selection("labels.foo!=\"\"", List.of(0, 2, 8)),
                selection("labels.foo~=\"^$\"", List.of(1, 3, 4, 5, 6, 7)),
                selection("name~=|^ba|", List.of(1, 3, 6, 7)),
                selection("name~=(", NONE),
                selection("name~=\"\\xff\"", NONE),
                selection("name!=\"\\xff\"", ALL),
                selection("name==\"\\x66\\157\\u006f\"", List.of(0, 2)),
                selection("unknown", NONE),
                selection("unknown.field!=x", ALL),
                selection("0==x", NONE));
    }

    private static Arguments selection(String expression, List<Integer> expected) {
        return Arguments.of(expression, expected);
    }

    @ParameterizedTest
    @MethodSource("selections")
    void an_expression_selects_what_it_selects_in_containerd(String expression, List<Integer> expected)
            throws Exception {
        assertThat(selectedBy(expression)).isEqualTo(expected);
    }

    static Stream<Arguments> mistakes() {
        return Stream.of(
                mistake(
                        "labels.|foo|==omg_asdf.asdf-qwer",
                        "[labels. >|||< foo|==omg_asdf.asdf-qwer]: invalid quote encountered"),
                mistake(
                        "labels.?\"more complex label with \\\\ and \\\"\".post==present",
                        "[labels. >|?|< \"more complex label with \\\\ and \\\"\".post==present]: expected field or quoted"),
                mistake("name==foo,", "[name==foo,]: expected field or quoted"),
                mistake("labels.", "[labels.]: expected field or quoted"),
                mistake("image~=,id?=?fbaq", "[image~= >|,|< id?=?fbaq]: expected value or quoted"),
                mistake("labels.ns/key==value", "[labels.ns >|/|< key==value]: quoted literal not terminated"),
                mistake("labels.key==/value", "[labels.key== >|/|< value]: quoted literal not terminated"),
                mistake("name=foo", "[name >|=|< foo]: unsupported operator \"=\""),
                mistake("name===foo", "[name >|=|< ==foo]: unsupported operator \"===\""),
                mistake("name foo", "[name  >|f|< oo]: expected an operator (\"==\"|\"!=\"|\"~=\")"),
                mistake("name==foo bar", "[name==foo >| |< bar]: unexpected input:  "),
                mistake("name==", "[name==]: expected value or quoted"),
                mistake("name==|foo|", "[name== >|||< foo|]: invalid quote encountered"),
                mistake("labels.\"\\g\"", "[labels. >|\"|< \\g\"]: illegal escape sequence"),
                mistake("labels.\"\\xaz\"", "[labels. >|\"|< \\xaz\"]: illegal numeric escape sequence"),
                mistake("labels.\"\\777\"", "[labels. >|\"|< \\777\"]: unquoting failed: quote syntax error"),
                mistake(
                        "labels.\"\\U00110000\"",
                        "[labels. >|\"|< \\U00110000\"]: unquoting failed: quote syntax error"),
                mistake("labels.\"a\nb\"", "[labels. >|\"|< a\nb\"]: quoted literal not terminated"),
                mistake("labels.\"a", "[labels. >|\"|< a]: quoted literal not terminated"),
                mistake("labels.\"a\\", "[labels. >|\"|< a\\]: illegal escape sequence"),
                mistake(",", "[ >|,|< ]: expected field or quoted"),
                mistake("牛==x", "[ >|牛|< ==x]: expected field or quoted"),
                mistake("name~=\"((a{100}){100}){100}\"", "regular expression too large"),
                mistake("name~=" + "(".repeat(1000) + "a" + ")".repeat(1000), "regular expression too large"));
    }

    private static Arguments mistake(String expression, String message) {
        return Arguments.of(expression, message);
    }

    @ParameterizedTest
    @MethodSource("mistakes")
    void a_mistake_is_answered_with_its_place_and_what_was_expected(String expression, String message) {
        assertThatThrownBy(() -> Filters.parse(List.of(expression)))
                .isInstanceOf(FilterSyntaxException.class)
                .hasMessageStartingWith("filters: parse error: [")
                .hasMessageEndingWith(message);
    }

    @Test
    void no_expression_selects_everything() throws Exception {
        assertThat(selectedBy()).isEqualTo(ALL);
    }

    @Test
    void several_expressions_select_what_any_of_them_selects() throws Exception {
        assertThat(selectedBy("name==bazo", "labels.bar")).isEqualTo(List.of(3, 7));
    }

    @Test
    void one_bad_expression_spoils_all() {
        assertThatThrownBy(() -> Filters.parse(List.of("name==a", "name=="))).isInstanceOf(FilterSyntaxException.class);
    }

    @Test
    void expressions_are_bounded_in_length_and_number() {
        String longest = "name==" + "x".repeat(Filters.MAX_EXPRESSION_CHARACTERS);
        assertThatThrownBy(() -> Filters.parse(List.of(longest))).hasMessageContaining("65542 characters");
        List<String> many = Collections.nCopies(Filters.MAX_EXPRESSIONS + 1, "name");
        assertThatThrownBy(() -> Filters.parse(many)).hasMessageContaining("1025 expressions");
    }

    @Test
    void the_filter_that_containerd_sends_for_a_layer_finds_it() throws Exception {
        Entry layer = new Entry("a", "", Map.of("containerd.io/snapshot.ref", "sha256:59b1"));
        String expression = "labels.\"containerd.io/snapshot.ref\"==sha256:59b1,name==\"a\"";
        assertThat(Filters.parse(List.of(expression)).matches(layer)).isTrue();
    }

    @Test
    void a_regular_expression_that_would_backtrack_for_ever_is_answered_at_once() throws Exception {
        Entry entry = new Entry("a".repeat(4_096), "", Map.of());
        assertThat(Filters.parse(List.of("name~=^(a+)+b$")).matches(entry)).isFalse();
    }

    @Test
    void characters_that_are_written_byte_by_byte_become_one_character() throws Exception {
        Entry entry = new Entry("牛", "", Map.of());
        assertThat(Filters.parse(List.of("name==\"\\xe7\\x89\\x9b\"")).matches(entry))
                .isTrue();
        assertThat(Filters.parse(List.of("name==牛")).matches(entry)).isTrue();
    }

    @Test
    void the_cost_of_a_regular_expression_is_never_told_too_low() {
        Random random = new Random(20261122);
        String[] parts = {
            "a",
            "b",
            ".",
            "(",
            ")",
            "(?:",
            "|",
            "*",
            "+",
            "?",
            "{2}",
            "{3,}",
            "{0,9}",
            "{12}",
            "[a-c]",
            "[^]x]",
            "[[:alpha:](]",
            "\\pL",
            "\\.",
            "\\Q(\\E",
            "x{",
            "}",
            "^",
            "$",
            "\\b"
        };
        int compiled = 0;
        for (int i = 0; i < 20_000; i++) {
            String expression = random.ints(random.nextInt(1, 14), 0, parts.length)
                    .mapToObj(part -> parts[part])
                    .collect(Collectors.joining());
            RegularExpressionCost cost = RegularExpressionCost.of(expression);
            if (!cost.isBearable()) {
                continue;
            }
            Optional<Integer> instructions = instructionsOf(expression);
            if (instructions.isPresent()) {
                compiled++;
                assertThat(cost.instructions() + FIXED_INSTRUCTIONS)
                        .as(expression)
                        .isGreaterThanOrEqualTo(instructions.get());
            }
        }
        assertThat(compiled).isGreaterThan(4_000);
    }

    private static Optional<Integer> instructionsOf(String expression) {
        return Optional.ofNullable(Filters.Found.of(List.of("name"), expression).expression())
                .map(Pattern::programSize);
    }

    @Test
    void a_bearable_regular_expression_fits_the_stack_of_a_small_thread() throws Exception {
        List<String> worst = List.of(
                "(".repeat(99) + "a" + ")".repeat(99),
                "a{0,99}",
                "a?".repeat(99),
                "(a|)".repeat(33),
                "(?:".repeat(33) + "a" + ")*".repeat(33));
        assertThat(worst)
                .allMatch(expression -> RegularExpressionCost.of(expression).isBearable());
        List<Integer> answers = new CopyOnWriteArrayList<>();
        Thread small = new Thread(
                null, () -> worst.forEach(expression -> answers.add(match(expression))), "small", 192 * 1024);
        small.start();
        small.join();
        assertThat(answers).hasSize(worst.size());
    }

    private static int match(String expression) {
        Entry entry = new Entry("aaaaaaaaaaaaaaaaaaaab", "", Map.of());
        return Filters.Found.of(List.of("name"), expression).matches(entry) ? 1 : 0;
    }

    @Test
    void any_input_is_either_parsed_or_refused() {
        Random random = new Random(7);
        String[] parts = {
            "name", ".", ",", "==", "~=", "!=", "\"", "/", "|", "\\", "x41", " ", "牛", "\n", "\0", "777", "u00",
            "\udc00"
        };
        for (int i = 0; i < 50_000; i++) {
            String expression = random.ints(random.nextInt(12), 0, parts.length)
                    .mapToObj(part -> parts[part])
                    .collect(Collectors.joining());
            try {
                Filters.parse(List.of(expression)).matches(ENTRIES.getFirst());
            } catch (FilterSyntaxException e) {
                assertThat(e).hasMessageStartingWith("filters: parse error: [");
            }
        }
    }

    private static List<Integer> selectedBy(String... expressions) throws FilterSyntaxException {
        Filter filter = Filters.parse(Arrays.asList(expressions));
        return ALL.stream().filter(i -> filter.matches(ENTRIES.get(i))).toList();
    }
}
