package io.github.volatilesnapshotter.history;

import java.util.Optional;

/**
 * The thing under test as one thread alone would see it.
 *
 * @param <S> its state; immutable, with equals
 * @param <C> calls
 * @param <A> answers
 */
public interface Model<S, C, A> {
    S initial();

    /** The state after the call, if in this state it may be answered so; else nothing. */
    Optional<S> after(S state, C call, A answer);
}
