package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PeerTest {
    @TempDir
    private Path directory;

    @Test
    void a_comparison_with_what_is_not_built_fails_and_says_what_to_run() {
        Path program = directory.resolve("stock-snapshotter");

        assertThatThrownBy(() -> Peer.requireBuilt(program))
                .isInstanceOf(NoSuchFileException.class)
                .hasMessageStartingWith(program + " is missing: run ")
                .hasMessageEndingWith("e2e/build-tools.sh");
    }
}
