package io.github.volatilesnapshotter.snapshot;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.snapshot.SnapshotterSettings.LayerSyncMode;
import io.github.volatilesnapshotter.superblock.FileSystemLog;
import io.github.volatilesnapshotter.superblock.FileSystemLog.Finding;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LayerSyncCheckTest {
    private static final Finding FOUND = new Finding.Found(FileSystemLog.COMMITTED_BY_FSYNC);
    private static final Finding MISSING = new Finding.Missing("it has no journal");

    private static String explain(LayerSyncMode mode, Finding finding) throws Exception {
        return LayerSyncCheck.explain(mode, MountInfo.containing(Path.of("/proc")), finding);
    }

    @ParameterizedTest
    @EnumSource(LayerSyncMode.class)
    void where_it_can_be_done_the_mode_decides(LayerSyncMode mode) throws Exception {
        assertThat(explain(mode, FOUND)).startsWith(mode.name().toLowerCase(java.util.Locale.ROOT) + ": ");
    }

    @Test
    void where_it_cannot_be_done_the_reason_is_told_and_what_happens_instead() throws Exception {
        assertThat(explain(LayerSyncMode.AUTO, MISSING))
                .startsWith("auto: syncfs, always")
                .endsWith("it has no journal");
        assertThat(explain(LayerSyncMode.SYNCFS, MISSING))
                .startsWith("syncfs: always")
                .endsWith("it has no journal");
        assertThatThrownBy(() -> explain(LayerSyncMode.TARGETED, MISSING))
                .isInstanceOf(StartException.class)
                .hasMessageContaining("(proc): it has no journal; use \"auto\" or \"syncfs\"");
    }
}
