package io.github.volatilesnapshotter.lab;

import io.github.volatilesnapshotter.lab.FuseDisk.Blocks;
import io.github.volatilesnapshotter.lab.RequestRule.Kind;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import org.cryptomator.jfuse.api.Fuse;
import org.cryptomator.jfuse.api.FuseBuilder;
import org.cryptomator.jfuse.api.FuseMountFailedException;

/**
 * The process that serves the file of a {@link FuseDisk}. It is one of its own because whoever waits for a disk that hangs
 * can't be the one that heals it.
 *
 * <p>Commands are lines on standard input, each answered by a line on standard output: {@code ok}, or what was wrong. The
 * end of standard input heals and unmounts everything, and ends the process: also when whoever made the disk was killed.
 */
final class FuseDiskProcess {
    /** The answer to a command that was obeyed, and what is said first once the file is there. */
    static final String OK = "ok";

    private FuseDiskProcess() {}

    /**
     * Runs until standard input ends.
     *
     * @param arguments the disk's directory, its size in bytes, and how many bytes may be taken for what its write cache may
     *     lose, 0 for none
     */
    public static void main(String[] arguments) throws Exception {
        FuseDiskDirectory directory = new FuseDiskDirectory(Path.of(arguments[0]));
        long bytes = Long.parseLong(arguments[1]);
        CommandedRule rule = new CommandedRule();
        long cacheBytes = Long.parseLong(arguments[2]);
        SparseMemory memory = new SparseMemory(bytes);
        WriteCache cache = new WriteCache(memory, bytes, cacheBytes);
        mount(directory.backing(), bytes, rule, cacheBytes > 0 ? cache : memory);
        System.out.println(OK);
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String command = commands.readLine(); command != null; command = commands.readLine()) {
            System.out.println(answer(rule, cache, command));
        }
        rule.heal();
        directory.detachAll();
        // libfuse would wait for the loop device to close the file.
        Runtime.getRuntime().halt(0);
    }

    private static void mount(Path mountPoint, long bytes, RequestRule rule, BlockStore store)
            throws IOException, FuseMountFailedException {
        Path library = library();
        FuseBuilder builder = Fuse.builder();
        builder.setLibraryPath(library.toString());
        Fuse fuse = builder.build(new DiskFileSystem(builder.errno(), bytes, rule, store));
        // Stays mounted when this is out of scope: nothing closes it.
        if (limitsThreads(library)) {
            fuse.mount("fuse-disk", mountPoint, "-omax_threads=" + DiskFileSystem.MAX_REQUESTS);
        } else {
            fuse.mount("fuse-disk", mountPoint);
        }
    }

    /** System.loadLibrary wants the name without a number, which is there only where programs are compiled. */
    private static Path library() throws IOException {
        String architecture = System.getProperty("os.arch").replace("amd64", "x86_64");
        for (String directory : List.of("/usr/lib/" + architecture + "-linux-gnu", "/usr/lib64", "/usr/lib")) {
            if (Files.isDirectory(Path.of(directory))) {
                try (DirectoryStream<Path> found = Files.newDirectoryStream(Path.of(directory), "libfuse3.so.*")) {
                    for (Path library : found) {
                        return library;
                    }
                }
            }
        }
        throw new IOException("no libfuse3.so: install the package libfuse3-3, libfuse3-4 or fuse3-libs");
    }

    /** Since libfuse 3.12 there are at most 10 threads unless told otherwise; before there is no such option. */
    private static boolean limitsThreads(Path library) {
        try (Arena arena = Arena.ofConfined()) {
            return SymbolLookup.libraryLookup(library, arena)
                    .find("fuse_loop_cfg_set_max_threads")
                    .isPresent();
        }
    }

    private static String answer(CommandedRule rule, WriteCache cache, String command) {
        try {
            String[] words = command.split(" ", 3);
            switch (words[0]) {
                case "fail" -> rule.fail(kinds(words[1]), Blocks.valueOf(words[2]));
                case "delay" -> rule.delay(kinds(words[1]), Duration.ofNanos(Long.parseLong(words[2])));
                case "hang" -> rule.hang(kinds(words[1]));
                case "heal" -> rule.heal();
                case "image" -> cache.writeImage(Path.of(words[2]), Long.parseLong(words[1]));
                default -> throw new IllegalArgumentException("unknown command");
            }
            return OK;
        } catch (IOException | RuntimeException e) {
            return command + ": " + e;
        }
    }

    private static Set<Kind> kinds(String word) {
        return switch (word) {
            case "reads" -> Set.of(Kind.READ);
            case "writes" -> CommandedRule.WRITES;
            case "requests" -> CommandedRule.ALL;
            default -> throw new IllegalArgumentException(word);
        };
    }
}
