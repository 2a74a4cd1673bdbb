package io.github.volatilesnapshotter.metadata;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/**
 * Reads one filter expression, from left to right.
 *
 * <pre>
 * selectors := selector ("," selector)*
 * selector  := fieldpath (operator value)?
 * fieldpath := field ("." field)*
 * field     := [A-Za-z0-9_]+ | quoted in "
 * operator  := "==" | "!=" | "~="
 * value     := graphic characters but "," | quoted in "; after ~= also in / or |
 * </pre>
 *
 * Space may stand before a field, an operator or a value, and nowhere else. Within quotes Go's escapes hold, and one of the
 * quoting character. Messages are containerd's, so that what people find about them helps.
 */
final class FilterParser {
    /** Stands for bytes that are no UTF-8: a lone surrogate, which no text that came over protobuf contains. */
    private static final String NO_TEXT = "\udfff";

    private static final int END = -1;

    private final String input;
    private int position;

    FilterParser(String input) {
        this.input = input;
    }

    Filter parse() throws FilterSyntaxException {
        List<Filter> selectors = new ArrayList<>();
        selectors.add(selector());
        while (peek() != END) {
            if (peek() != ',') {
                throw error(position, "unexpected input: " + Character.toString(peek()));
            }
            next();
            selectors.add(selector());
        }
        return selectors.size() == 1 ? selectors.getFirst() : new Filters.All(selectors);
    }

    private Filter selector() throws FilterSyntaxException {
        List<String> path = fieldPath();
        if (peek() == END || peek() == ',') {
            return new Filters.Present(path);
        }
        skipSpace();
        int start = position;
        String operator = operator();
        return switch (operator) {
            case "==" -> new Filters.Equal(path, value(false));
            case "!=" -> new Filters.NotEqual(path, value(false));
            case "~=" -> found(path);
            default -> throw error(start, "unsupported operator \"" + operator + "\"");
        };
    }

    private Filter found(List<String> path) throws FilterSyntaxException {
        skipSpace();
        int start = position;
        String expression = value(true);
        if (!RegularExpressionCost.of(expression).isBearable()) {
            throw error(start, "regular expression too large");
        }
        return Filters.Found.of(path, expression);
    }

    private List<String> fieldPath() throws FilterSyntaxException {
        List<String> path = new ArrayList<>(4);
        path.add(field());
        while (peek() == '.') {
            next();
            path.add(field());
        }
        return List.copyOf(path);
    }

    private String field() throws FilterSyntaxException {
        skipSpace();
        int start = position;
        if (isQuote(peek())) {
            return quoted(false);
        }
        while (isFieldCharacter(peek())) {
            next();
        }
        if (position == start) {
            throw error(start, "expected field or quoted");
        }
        return input.substring(start, position);
    }

    private String operator() throws FilterSyntaxException {
        int start = position;
        while (isOperatorCharacter(peek())) {
            next();
        }
        if (position == start) {
            if (isQuote(peek())) {
                quoted(true); // if it is not well-formed, that is the better message
            }
            throw error(start, "expected an operator (\"==\"|\"!=\"|\"~=\")");
        }
        return input.substring(start, position);
    }

    private String value(boolean ofRegularExpression) throws FilterSyntaxException {
        skipSpace();
        int start = position;
        int first = peek();
        if (isQuote(first)) {
            return quoted(ofRegularExpression);
        }
        if (first <= 0 || first == ',' || first == '.' || isOperatorCharacter(first)) {
            throw error(start, "expected value or quoted");
        }
        next();
        while (peek() != ',' && isGraphic(peek())) {
            next();
        }
        return input.substring(start, position);
    }

    private String quoted(boolean inAnyQuote) throws FilterSyntaxException {
        int start = position;
        int quote = next();
        ByteArrayOutputStream text = new ByteArrayOutputStream();
        while (peek() != quote) {
            int character = next();
            switch (character) {
                case END, '\n', 0 -> throw error(start, "quoted literal not terminated");
                case '\\' -> escape(start, quote, text);
                default -> put(character, text);
            }
        }
        next();
        if (quote != '"' && !inAnyQuote) {
            throw error(start, "invalid quote encountered");
        }
        return decode(text.toByteArray());
    }

    private void escape(int start, int quote, ByteArrayOutputStream text) throws FilterSyntaxException {
        int escaped = next();
        switch (escaped) {
            case 'a' -> text.write(0x07);
            case 'b' -> text.write('\b');
            case 'f' -> text.write('\f');
            case 'n' -> text.write('\n');
            case 'r' -> text.write('\r');
            case 't' -> text.write('\t');
            case 'v' -> text.write(0x0b);
            case '\\' -> text.write('\\');
            case 'x' -> text.write(number(start, 16, 2, 0xff));
            case 'u' -> put(number(start, 16, 4, Character.MAX_CODE_POINT), text);
            case 'U' -> put(number(start, 16, 8, Character.MAX_CODE_POINT), text);
            case '0', '1', '2', '3', '4', '5', '6', '7' -> {
                position--;
                text.write(number(start, 8, 3, 0xff));
            }
            default -> {
                if (escaped != quote) {
                    throw error(start, "illegal escape sequence");
                }
                text.write(quote);
            }
        }
    }

    private int number(int start, int base, int digits, int most) throws FilterSyntaxException {
        long number = 0;
        for (int i = 0; i < digits; i++) {
            int digit = isAscii(peek()) ? Character.digit(peek(), base) : -1;
            if (digit < 0) {
                throw error(start, "illegal numeric escape sequence");
            }
            next();
            number = number * base + digit;
        }
        if (number > most) {
            throw error(start, "unquoting failed: quote syntax error");
        }
        return (int) number;
    }

    /** As Go does, a surrogate becomes the replacement character. */
    private static void put(int character, ByteArrayOutputStream text) {
        boolean isSurrogate = character >= Character.MIN_SURROGATE && character <= Character.MAX_SURROGATE;
        String encodable = isSurrogate ? "\ufffd" : Character.toString(character);
        text.writeBytes(encodable.getBytes(StandardCharsets.UTF_8));
    }

    private static String decode(byte[] text) {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(text))
                    .toString();
        } catch (CharacterCodingException e) {
            return NO_TEXT;
        }
    }

    private int peek() {
        return position < input.length() ? input.codePointAt(position) : END;
    }

    private int next() {
        int character = peek();
        if (character != END) {
            position += Character.charCount(character);
        }
        return character;
    }

    private void skipSpace() {
        while (isSpace(peek())) {
            next();
        }
    }

    /** Go's unicode.IsSpace. */
    private static boolean isSpace(int character) {
        return (character >= '\t' && character <= '\r')
                || character == 0x85
                || (character > 0 && Character.isSpaceChar(character));
    }

    private static boolean isAscii(int character) {
        return character >= 0 && character < 0x80;
    }

    private static boolean isQuote(int character) {
        return character == '"' || character == '/' || character == '|';
    }

    private static boolean isOperatorCharacter(int character) {
        return character == '=' || character == '!' || character == '~';
    }

    private static boolean isFieldCharacter(int character) {
        return isAscii(character) && (Character.isLetterOrDigit(character) || character == '_');
    }

    /** Letters, marks, numbers, punctuation and symbols: Go's unicode.IsGraphic but for spaces. */
    private static boolean isGraphic(int character) {
        if (character == END) {
            return false;
        }
        return switch (Character.getType(character)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED,
                    Character.SPACE_SEPARATOR,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR -> false;
            default -> true;
        };
    }

    private FilterSyntaxException error(int at, String message) {
        if (at >= input.length()) {
            return new FilterSyntaxException("filters: parse error: [" + input + "]: " + message);
        }
        int after = at + Character.charCount(input.codePointAt(at));
        return new FilterSyntaxException("filters: parse error: [" + input.substring(0, at) + " >|"
                + input.substring(at, after) + "|< " + input.substring(after) + "]: " + message);
    }
}
