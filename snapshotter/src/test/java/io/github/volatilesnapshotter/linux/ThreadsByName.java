package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** What the kernel says of this process's threads. */
public final class ThreadsByName {
    /** In {@code /proc/PID/stat}, behind the name in parentheses: proc_pid_stat(5), field 19. */
    private static final int NICENESS_BEHIND_NAME = 19 - 3;

    private ThreadsByName() {}

    /** Of all whose name begins so, of which the kernel knows 15 characters. */
    public static Set<Integer> niceness(String prefix) {
        try (Stream<Path> tasks = Files.list(Path.of("/proc/self/task"))) {
            return tasks.map(ThreadsByName::stat)
                    .filter(stat -> stat.contains("(" + prefix))
                    .map(stat -> Integer.parseInt(
                            stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1)[NICENESS_BEHIND_NAME]))
                    .collect(Collectors.toSet());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Nothing of one that has ended meanwhile. */
    private static String stat(Path task) {
        try {
            return Files.readString(task.resolve("stat"));
        } catch (IOException _) {
            return "";
        }
    }
}
