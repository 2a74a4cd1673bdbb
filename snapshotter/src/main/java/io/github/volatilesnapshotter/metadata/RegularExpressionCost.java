package io.github.volatilesnapshotter.metadata;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What compiling and running a regular expression takes at most, told from its text. RE2/J matches in linear time, but it unrolls
 * counted repetitions without a limit on nested ones ({@code ((a{100}){100}){100}}, 20 characters, takes 84 MB in 1.8), and its
 * recursion overflows a stack of 256 KiB from about 120 nested or repeated branches on.
 *
 * @param instructions at least those of the compiled program
 * @param branches at least as many as the recursion is deep
 */
record RegularExpressionCost(long instructions, long branches) {
    private static final long MOST_INSTRUCTIONS = 10_000;
    private static final long MOST_BRANCHES = 100;

    /** Far above what is bearable, so that products don't overflow. */
    private static final long CEILING = 1L << 24;

    private static final Pattern COUNT = Pattern.compile("\\{(\\d{1,9})(,(\\d{0,9}))?\\}");
    private static final RegularExpressionCost NOTHING = new RegularExpressionCost(0, 0);
    private static final RegularExpressionCost CHARACTER = new RegularExpressionCost(1, 0);

    boolean isBearable() {
        return instructions <= MOST_INSTRUCTIONS && branches <= MOST_BRANCHES;
    }

    static RegularExpressionCost of(String expression) {
        return new Reading(expression).cost();
    }

    private RegularExpressionCost plus(RegularExpressionCost other) {
        return plus(other.instructions, other.branches);
    }

    private RegularExpressionCost plus(long moreInstructions, long moreBranches) {
        return new RegularExpressionCost(
                Math.min(CEILING, instructions + moreInstructions), Math.min(CEILING, branches + moreBranches));
    }

    /** A choice of n to m copies takes a branch for each; exactly n take none. */
    private RegularExpressionCost repeated(int least, int most) {
        long copies = Math.max(1, Math.max(least, most));
        long branchesPerCopy = least == most ? branches : branches + 1;
        return new RegularExpressionCost(
                Math.min(CEILING, (instructions + 2) * copies + 2), Math.min(CEILING, branchesPerCopy * copies));
    }

    /** A group that is being read: what stands before its last atom, and that atom, which a repetition would apply to. */
    private static final class Group {
        private RegularExpressionCost before = NOTHING;
        private RegularExpressionCost last = NOTHING;

        void add(RegularExpressionCost atom) {
            before = before.plus(last);
            last = atom;
        }

        RegularExpressionCost cost() {
            return before.plus(last);
        }
    }

    private static final class Reading {
        private final String text;
        private final Deque<Group> open = new ArrayDeque<>();
        private int position;

        Reading(String text) {
            this.text = text;
            open.push(new Group());
        }

        RegularExpressionCost cost() {
            while (position < text.length()) {
                readOne();
            }
            while (open.size() > 1) {
                closeGroup();
            }
            return group().cost();
        }

        private Group group() {
            return open.getFirst();
        }

        private void readOne() {
            switch (text.charAt(position)) {
                case '\\' -> readEscape();
                case '[' -> readClass();
                case '{' -> readCount();
                case '(' -> {
                    open.push(new Group());
                    position++;
                }
                case ')' -> {
                    if (open.size() > 1) {
                        closeGroup();
                    }
                    position++;
                }
                case '|', '*', '+', '?' -> {
                    group().last = group().last.plus(2, 1);
                    position++;
                }
                default -> {
                    group().add(CHARACTER);
                    position++;
                }
            }
        }

        private void closeGroup() {
            RegularExpressionCost inside = open.pop().cost();
            group().add(inside.plus(2, 1));
        }

        private void readEscape() {
            if (text.startsWith("\\Q", position)) {
                int end = text.indexOf("\\E", position);
                int after = end < 0 ? text.length() : end + 2;
                for (; position < after; position++) {
                    group().add(CHARACTER);
                }
            } else {
                group().add(CHARACTER);
                position += 2;
            }
        }

        /** One character out of many is one instruction. A bracket that comes first stands for itself. */
        private void readClass() {
            position++;
            if (text.startsWith("^", position)) {
                position++;
            }
            boolean first = true;
            while (position < text.length() && (first || text.charAt(position) != ']')) {
                int end = text.startsWith("[:", position) ? text.indexOf(":]", position) : -1;
                if (end >= 0) {
                    position = end + 2;
                } else {
                    position += text.charAt(position) == '\\' ? 2 : 1;
                }
                first = false;
            }
            position++;
            group().add(CHARACTER);
        }

        private void readCount() {
            Matcher count = COUNT.matcher(text).region(position, text.length());
            if (!count.lookingAt()) {
                group().add(CHARACTER);
                position++;
                return;
            }
            int least = Integer.parseInt(count.group(1));
            boolean exact = count.group(2) == null;
            int most = exact ? least : count.group(3).isEmpty() ? least + 1 : Integer.parseInt(count.group(3));
            group().last = group().last.repeated(least, most);
            position = count.end();
        }
    }
}
