package io.github.volatilesnapshotter.metadata;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

final class EscapedLinesTest {
    @Test
    void plain_texts_stay_readable() {
        assertThat(EscapedLines.join(List.of("etc/passwd", "var/lib"))).isEqualTo("etc/passwd\nvar/lib\n");
    }

    @Test
    void nothing_and_one_empty_text_are_told_apart() {
        assertThat(EscapedLines.split(EscapedLines.join(List.of()))).isEmpty();
        assertThat(EscapedLines.split(EscapedLines.join(List.of("")))).containsExactly("");
    }

    @Test
    void any_texts_come_back_as_they_were() {
        Random random = new Random(11);
        for (int i = 0; i < 2_000; i++) {
            List<String> texts = IntStream.range(0, random.nextInt(4))
                    .mapToObj(any -> random.ints(random.nextInt(6), 0, 4)
                            .mapToObj("a\\n\n"::charAt)
                            .map(String::valueOf)
                            .collect(Collectors.joining()))
                    .toList();
            assertThat(EscapedLines.split(EscapedLines.join(texts))).isEqualTo(texts);
        }
    }

    @Test
    void lines_that_were_cut_or_changed_are_refused() {
        assertThatThrownBy(() -> EscapedLines.split("no end")).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> EscapedLines.split("\\x\n")).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> EscapedLines.split("\\\n")).isInstanceOf(IllegalArgumentException.class);
    }
}
