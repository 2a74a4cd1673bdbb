package io.github.volatilesnapshotter.linux;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What {@code /proc/fs} says of an ext4's journal. Mountinfo says less: a default is not shown there, nor that there is no journal.
 *
 * @param options {@code /proc/fs/ext4/<name>/options}, every one with its value, defaults too; {@code data=} is there if there is a
 *     journal, {@code fc_debug_force} if there are fast commits and the kernel has CONFIG_EXT4_DEBUG
 * @param isOnItsDevice the journal is a file of the filesystem ({@code /proc/fs/jbd2/<name>-<inode>}), on no other device
 * @param fastCommits of {@code fc_info} those made and those found impossible: an fsync of something new adds one if there are fast
 *     commits, else none; empty where the kernel does not say (before 5.11)
 */
public record Ext4Journal(List<String> options, boolean isOnItsDevice, OptionalLong fastCommits) {
    private static final Path PROC = Path.of("/proc/fs");
    private static final Path OF_BLOCK_DEVICES = Path.of("/sys/dev/block");
    private static final Pattern FAST_COMMITS = Pattern.compile("(?m)^(\\d{1,18}) (commits|ineligible)$");
    private static final int FAST_COMMIT_LINES = 2;

    public Ext4Journal {
        options = List.copyOf(options);
    }

    /** Empty if there is no ext4 on the device, or /proc does not show it. */
    public static Optional<Ext4Journal> of(Device device) {
        try {
            // A slash in a device's name is an exclamation mark here as in /proc/fs.
            String name = OF_BLOCK_DEVICES
                    .resolve(device.toString())
                    .toRealPath()
                    .getFileName()
                    .toString();
            return Optional.of(read(PROC, name));
        } catch (IOException | DirectoryIteratorException | UncheckedIOException _) {
            return Optional.empty();
        }
    }

    static Ext4Journal read(Path proc, String name) throws IOException {
        Path ext4 = proc.resolve("ext4").resolve(name);
        List<String> options = Files.readAllLines(ext4.resolve("options"));
        return new Ext4Journal(options, isJournalOf(name, proc.resolve("jbd2")), fastCommits(ext4.resolve("fc_info")));
    }

    private static boolean isJournalOf(String name, Path jbd2) throws IOException {
        if (!Files.isDirectory(jbd2)) {
            return false;
        }
        try (DirectoryStream<Path> journals = Files.newDirectoryStream(jbd2)) {
            for (Path journal : journals) {
                String file = journal.getFileName().toString();
                if (file.startsWith(name + "-")
                        && file.substring(name.length() + 1).chars().allMatch(Character::isDigit)) {
                    return true;
                }
            }
        }
        return false;
    }

    private static OptionalLong fastCommits(Path info) {
        String text;
        try {
            text = Files.readString(info);
        } catch (IOException _) {
            return OptionalLong.empty();
        }
        Matcher matcher = FAST_COMMITS.matcher(text);
        int lines = 0;
        long sum = 0;
        while (matcher.find()) {
            lines++;
            sum += Long.parseLong(matcher.group(1));
        }
        return lines == FAST_COMMIT_LINES ? OptionalLong.of(sum) : OptionalLong.empty();
    }

    /** The value of {@code data=}; empty without a journal. */
    public Optional<String> dataMode() {
        return options.stream()
                .filter(option -> option.startsWith("data="))
                .map(option -> option.substring("data=".length()))
                .findFirst();
    }
}
