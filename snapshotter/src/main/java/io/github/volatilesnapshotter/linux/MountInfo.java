package io.github.volatilesnapshotter.linux;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One line of mountinfo, see proc_pid_mountinfo(5), with its octal escapes decoded. Bytes that are not UTF-8 are shown as
 * U+FFFD.
 *
 * @param id given to another mount once this one has ended
 * @param major with {@code minor} the superblock's device, the one that tracepoints name
 * @param root the directory of the filesystem that is seen at the mount point
 * @param options of this mount, for example {@code ro}
 * @param optionalFields propagation, for example {@code shared:7}
 * @param superOptions of the superblock, shared by all its mounts
 */
public record MountInfo(
        long id,
        long parentId,
        int major,
        int minor,
        String root,
        String mountPoint,
        List<String> options,
        List<String> optionalFields,
        String fsType,
        String source,
        List<String> superOptions) {

    private static final Path OF_THIS_PROCESS = Path.of("/proc/self/mountinfo");
    private static final String END_OF_OPTIONAL_FIELDS = "-";
    private static final int MOUNT_POINT_FIELD = 4;
    private static final int FIRST_OPTIONAL_FIELD = 6;
    private static final int FIELDS_AT_THE_END = 4;
    private static final int OCTAL_DIGITS = 3;

    public MountInfo {
        options = List.copyOf(options);
        optionalFields = List.copyOf(optionalFields);
        superOptions = List.copyOf(superOptions);
    }

    /** Whether this is an overlay that never syncs; {@code fsync=volatile} is how Linux 7.0, 6.18.21 and 6.12.80 say it. */
    public boolean isVolatile() {
        return fsType.equals("overlay") && saysVolatile(superOptions);
    }

    /** The mount or its superblock. */
    public boolean isReadOnly() {
        return options.contains("ro") || superOptions.contains("ro");
    }

    public Device device() {
        return new Device(major, minor);
    }

    /** All mounts of a file in the form of {@code /proc/PID/mountinfo}; IllegalArgumentException at a broken line. */
    public static List<MountInfo> parse(Path mountinfoFile) throws SyscallException {
        return content(mountinfoFile).lines().map(MountInfo::parseLine).toList();
    }

    /** All mounts that this process sees, in the kernel's order: a mount comes after the one below it. */
    public static List<MountInfo> ofSelf() throws SyscallException {
        return parse(OF_THIS_PROCESS);
    }

    /**
     * The mounts at any of the directories or below one, in the kernel's order. The others are not taken apart: on a node with thousands of
     * overlays that is most of the work.
     */
    public static List<MountInfo> below(Path... directories) throws SyscallException {
        List<String> names = Arrays.stream(directories).map(Path::toString).toList();
        List<MountInfo> found = new ArrayList<>();
        for (String line : content(OF_THIS_PROCESS).split("\n", 0)) {
            String mountPoint = mountPointIn(line);
            if (names.stream().anyMatch(name -> isAtOrBelow(name, mountPoint))) {
                found.add(parseLine(line));
            }
        }
        return found;
    }

    private static boolean isAtOrBelow(String directory, String mountPoint) {
        return mountPoint.startsWith(directory)
                && (mountPoint.length() == directory.length() || mountPoint.charAt(directory.length()) == '/');
    }

    private static String mountPointIn(String line) {
        int start = 0;
        for (int field = 0; field < MOUNT_POINT_FIELD; field++) {
            start = line.indexOf(' ', start) + 1;
        }
        return decode(line.substring(start, line.indexOf(' ', start)));
    }

    /** The mount through which the file was opened; ENOENT if it is detached. Takes longer the more mounts there are. */
    public static MountInfo containing(Fd file) throws SyscallException {
        return withId(Stat.of(file).mountId(), file);
    }

    /** The mount that the path lies on; if it is a mount point, the mount on it. A symbolic link is not followed. */
    public static MountInfo containing(Path path) throws SyscallException {
        return withId(Stat.of(path).mountId(), path);
    }

    /**
     * The superblock's options of the mount through which the file was opened, as {@link #superOptions} has them. Since
     * Linux 6.11 in a time that does not depend on the number of mounts.
     */
    public static List<String> superOptionsOf(Fd file) throws SyscallException {
        List<String> options = StatMount.superOptions(SystemCalls.uniqueMountId(file));
        return options == null ? containing(file).superOptions() : options;
    }

    /** As {@link #superOptionsOf(Fd)}, of the mount that the path lies on; a symbolic link is not followed. */
    public static List<String> superOptionsOf(Path path) throws SyscallException {
        List<String> options = StatMount.superOptions(SystemCalls.uniqueMountId(path));
        return options == null ? containing(path).superOptions() : options;
    }

    private static MountInfo withId(long id, Object of) throws SyscallException {
        // Not line by line: among a thousand overlays the one is found before the others are taken apart.
        String content = "\n" + content(OF_THIS_PROCESS);
        int start = content.indexOf("\n" + id + " ");
        if (start < 0) {
            throw new SyscallException(
                    "mountinfo", of.toString(), Errno.ENOENT, "mount " + id + " is not in this mount namespace");
        }
        return parseLine(content.substring(start + 1, content.indexOf('\n', start + 1)));
    }

    /** One byte, one character: what the bytes mean is found out after the escapes are decoded. */
    private static String content(Path mountinfoFile) throws SyscallException {
        try (Fd file = Fd.openReadOnly(mountinfoFile)) {
            return new String(SystemCalls.readAll(file), StandardCharsets.ISO_8859_1);
        }
    }

    private static MountInfo parseLine(String line) {
        List<String> fields = Arrays.asList(line.split(" ", -1));
        int end = fields.indexOf(END_OF_OPTIONAL_FIELDS);
        if (end < FIRST_OPTIONAL_FIELD || fields.size() < end + FIELDS_AT_THE_END) {
            throw new IllegalArgumentException("not a line of mountinfo: " + line);
        }
        Device device = Device.parse(fields.get(2));
        return new MountInfo(
                Long.parseLong(fields.get(0)),
                Long.parseLong(fields.get(1)),
                device.major(),
                device.minor(),
                decode(fields.get(3)),
                decode(fields.get(4)),
                options(fields.get(5)),
                fields.subList(FIRST_OPTIONAL_FIELD, end),
                decode(fields.get(end + 1)),
                decode(fields.get(end + 2)),
                options(fields.get(end + 3)));
    }

    /** Split before they are decoded: a comma inside a value is escaped too. */
    static List<String> options(String field) {
        String[] options = field.split(",", -1);
        if (isPlain(field)) {
            return List.of(options);
        }
        for (int index = 0; index < options.length; index++) {
            options[index] = decode(options[index]);
        }
        return List.of(options);
    }

    static boolean saysVolatile(List<String> superOptions) {
        return superOptions.contains("volatile") || superOptions.contains("fsync=volatile");
    }

    /** Nearly every field is: each mount of an upper looks at its options, and decoding them took a fifth of a Prepare. */
    private static boolean isPlain(String field) {
        // Encoded by the JVM's own loop, which is ten times as fast as one of ours before that is compiled.
        return field.indexOf('\\') < 0 && field.getBytes(StandardCharsets.UTF_8).length == field.length();
    }

    /** Takes one byte per character; a backslash and three octal digits stand for a byte (seq_path of the kernel). */
    private static String decode(String field) {
        if (isPlain(field)) {
            return field;
        }
        ByteArrayOutputStream bytes = new ByteArrayOutputStream(field.length());
        int position = 0;
        while (position < field.length()) {
            char character = field.charAt(position);
            if (character == '\\' && position + OCTAL_DIGITS < field.length()) {
                bytes.write(Integer.parseInt(field.substring(position + 1, position + 1 + OCTAL_DIGITS), 8));
                position += 1 + OCTAL_DIGITS;
            } else {
                bytes.write(character);
                position++;
            }
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }
}
