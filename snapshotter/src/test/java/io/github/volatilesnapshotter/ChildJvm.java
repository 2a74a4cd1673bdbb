package io.github.volatilesnapshotter;

import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.SyscallException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A JVM of the tests' classes that may be killed. What SQLite's library then leaves in its temporary directory goes when this JVM ends. */
public final class ChildJvm {
    private static final Path TEMPORARY = temporary();

    private ChildJvm() {}

    /** The command; the class's arguments are to be added. */
    public static List<String> command(Class<?> main, List<String> options) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of("--enable-native-access=ALL-UNNAMED", "-XX:TieredStopAtLevel=1"));
        command.add("-Dorg.sqlite.tmpdir=" + TEMPORARY);
        command.addAll(options);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), main.getName()));
        return command;
    }

    private static Path temporary() {
        try {
            Path made = Files.createTempDirectory("volatile-snapshotter-jvm");
            Runtime.getRuntime().addShutdownHook(new Thread(() -> delete(made)));
            return made;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void delete(Path directory) {
        try {
            DirectoryTree.delete(directory);
        } catch (SyscallException e) {
            System.err.println(directory + " is left behind: " + e);
        }
    }
}
