package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.crash.Ledger.Crash;
import io.github.volatilesnapshotter.crash.Ledger.Operation;
import io.github.volatilesnapshotter.proto.containerd.snapshots.v1.Kind;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

final class LedgerTest {
    private final Ledger ledger = new Ledger();

    private static Entry active(long id) {
        return new Entry(Kind.ACTIVE, false, "", "0", id, null);
    }

    private static Entry layer(long id) {
        return new Entry(Kind.COMMITTED, false, "", "0", id, new Tree(new TreeMap<>()));
    }

    private void prepared(String key, long id) {
        ledger.acknowledge(ledger.beginPrepare(key, active(Ledger.UNKNOWN_ID)), id);
    }

    private void committed(String key, String name, long id) {
        ledger.acknowledge(ledger.beginCommit(key, name, layer(id)), id);
    }

    @Test
    void what_was_acknowledged_must_be_there_after_a_kill() {
        prepared("a", 7);

        assertThat(ledger.expectedAfterKill().possible().get("a")).containsExactly(active(7));
    }

    @Test
    void what_was_not_answered_may_be_there_or_not() {
        ledger.beginPrepare("a", active(Ledger.UNKNOWN_ID));

        assertThat(ledger.expectedAfterKill().possible().get("a")).containsExactly(null, active(Ledger.UNKNOWN_ID));
    }

    @Test
    void what_was_refused_was_not_done() {
        prepared("a", 7);
        ledger.refuse(ledger.beginRemove("a", active(7)));

        assertThat(ledger.expectedAfterKill().possible().get("a")).containsExactly(active(7));
    }

    @Test
    void a_commit_that_was_not_answered_is_done_wholly_or_not_at_all() {
        prepared("a", 7);
        ledger.beginCommit("a", "layer", layer(7));

        Ledger.Expected expected = ledger.expectedAfterKill();
        assertThat(expected.possible().get("a")).containsExactly(active(7), null);
        assertThat(expected.possible().get("layer")).containsExactly(null, layer(7));
        assertThat(expected.open()).containsExactly(new Ledger.Commit("a", "layer", true));
    }

    @Test
    void a_power_cut_may_take_what_was_ordered_after_the_last_durable_operation_and_nothing_before_it() {
        prepared("before", 1);
        prepared("a", 2);
        committed("a", "layer", 2);
        prepared("after", 3);

        Ledger.Expected expected = ledger.expected(Crash.POWER_CUT, ledger.now(), ledger.now());

        assertThat(expected.possible().get("before")).containsExactly(active(1));
        assertThat(expected.possible().get("layer")).containsExactly(layer(2));
        assertThat(expected.possible().get("a")).containsOnlyNulls();
        assertThat(expected.possible().get("after")).containsExactly(null, active(3));
    }

    @Test
    void what_is_acknowledged_between_the_two_moments_of_a_cut_may_be_there_and_what_begins_later_is_not() {
        prepared("a", 1);
        long certainUntil = ledger.now();
        committed("a", "layer", 1);
        long possibleUntil = ledger.now();
        prepared("b", 2);

        Ledger.Expected expected = ledger.expected(Crash.POWER_CUT, certainUntil, possibleUntil);

        assertThat(expected.possible().get("layer")).containsExactly(null, layer(1));
        assertThat(expected.possible()).doesNotContainKey("b");
    }

    @Test
    void ids_that_were_seen_are_remembered_also_when_nothing_has_them_any_more() {
        prepared("a", 7);
        ledger.sawId(9);
        ledger.settle(Map.of());

        assertThat(ledger.expectedAfterKill().highestId()).isEqualTo(9);
        assertThat(ledger.expectedAfterKill().possible()).isEmpty();
    }

    @Test
    void one_whose_last_operation_is_open_is_not_known() {
        prepared("a", 7);
        prepared("b", 8);
        Operation _ = ledger.beginRemove("b", active(8));

        assertThat(ledger.known()).containsOnlyKeys("a");
    }
}
