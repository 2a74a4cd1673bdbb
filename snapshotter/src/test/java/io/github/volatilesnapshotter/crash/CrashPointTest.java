package io.github.volatilesnapshotter.crash;

import static org.assertj.core.api.Assertions.assertThat;

import io.github.volatilesnapshotter.ChildJvm;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
final class CrashPointTest {
    private static final int KILLED = 128 + 9;

    @TempDir
    private Path directory;

    @Test
    void the_process_dies_at_the_passage_that_the_file_names() throws Exception {
        Files.writeString(armed(), "prepare-recorded 2");

        assertThat(run("-D" + CrashPoint.PROPERTY + "=" + armed())).isEqualTo(List.of("1", KILLED));
    }

    @Test
    void another_point_is_passed() throws Exception {
        Files.writeString(armed(), "commit-recorded 1");

        assertThat(run("-D" + CrashPoint.PROPERTY + "=" + armed())).isEqualTo(List.of("123", 0));
    }

    @Test
    void without_the_file_nothing_happens() throws Exception {
        assertThat(run("-D" + CrashPoint.PROPERTY + "=" + armed())).isEqualTo(List.of("123", 0));
    }

    @Test
    void without_the_property_the_file_is_not_looked_for() throws Exception {
        Files.writeString(armed(), "prepare-recorded 1");

        assertThat(run("-Dnothing=" + armed())).isEqualTo(List.of("123", 0));
    }

    private Path armed() {
        return directory.resolve("crash");
    }

    /** What {@link #main} has written, and its exit status. */
    private static List<Object> run(String option) throws Exception {
        List<String> command = ChildJvm.command(CrashPointTest.class, List.of("-Xmx64m", option));
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try {
            String written = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            return List.of(written, process.waitFor());
        } finally {
            process.destroyForcibly();
        }
    }

    public static void main(String[] arguments) {
        for (int passage = 1; passage <= 3; passage++) {
            CrashPoint.PREPARE_RECORDED.reached();
            System.out.print(passage);
            System.out.flush();
        }
    }
}
