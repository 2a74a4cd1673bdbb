package io.github.volatilesnapshotter.history;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class HistoryTest {
    /** A number that is written (call is the number, answer 0) and read (call is -1, answer the number). */
    private static final Model<Integer, Integer, Integer> REGISTER = new Model<>() {
        @Override
        public Integer initial() {
            return 0;
        }

        @Override
        public Optional<Integer> after(Integer state, Integer call, Integer answer) {
            if (call == -1) {
                return answer.equals(state) ? Optional.of(state) : Optional.empty();
            }
            return Optional.of(call);
        }
    };

    private static Operation<Integer, Integer> write(int value, long begun, long ended) {
        return new Operation<>(0, value, 0, begun, ended);
    }

    private static Operation<Integer, Integer> read(int value, long begun, long ended) {
        return new Operation<>(1, -1, value, begun, ended);
    }

    private static Optional<String> contradiction(List<Operation<Integer, Integer>> operations) {
        return History.ofOperations(operations).contradictionTo(REGISTER);
    }

    @Test
    void a_read_during_a_write_may_see_either() {
        assertThat(contradiction(List.of(write(1, 0, 10), read(0, 5, 6)))).isEmpty();
        assertThat(contradiction(List.of(write(1, 0, 10), read(1, 5, 6)))).isEmpty();
    }

    @Test
    void a_read_after_a_write_sees_it() {
        assertThat(contradiction(List.of(write(1, 0, 10), read(0, 11, 12))))
                .hasValueSatisfying(
                        text -> assertThat(text).contains("at most 1 of 2").contains("-1 -> 0"));
    }

    @Test
    void what_was_seen_once_is_not_unseen() {
        assertThat(contradiction(List.of(write(1, 0, 10), read(1, 2, 3), read(0, 5, 6))))
                .isPresent();
    }

    @Test
    void threads_are_recorded_side_by_side() throws Exception {
        int[] register = new int[1];
        History<Integer, Integer> history =
                History.of(3, 10, thread -> call -> call % 2 == 0 ? -1 : thread * 10 + call, List.of(-1), call -> {
                    synchronized (register) {
                        if (call == -1) {
                            return register[0];
                        }
                        register[0] = call;
                        return 0;
                    }
                });
        assertThat(history.size()).isEqualTo(31);
        assertThat(history.contradictionTo(REGISTER)).isEmpty();
    }
}
