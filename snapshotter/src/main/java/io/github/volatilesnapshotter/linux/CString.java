package io.github.volatilesnapshotter.linux;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;

/**
 * A string as the kernel takes and gives it: bytes without a meaning, ended by NUL. Containers create names that are
 * not UTF-8, so a name that came from the kernel is never turned into a Java string and back.
 */
final class CString {
    static final CString EMPTY = of("");
    static final CString SELF = of(".");
    static final CString PARENT = of("..");

    /** Ended by NUL. */
    private final byte[] terminated;

    private CString(byte[] terminated) {
        this.terminated = terminated;
    }

    static CString of(String text) {
        return ofBytes(text.getBytes(StandardCharsets.UTF_8));
    }

    static CString of(Path path) {
        return of(path.toString());
    }

    /** Throws IllegalArgumentException if the bytes hold a NUL: the kernel would silently see a shorter string. */
    static CString ofBytes(byte[] bytes) {
        for (byte each : bytes) {
            if (each == 0) {
                throw new IllegalArgumentException("NUL in a string for the kernel");
            }
        }
        return new CString(Arrays.copyOf(bytes, bytes.length + 1));
    }

    /** The bytes from the offset up to the next NUL. */
    static CString read(MemorySegment segment, long offset) {
        long end = offset;
        while (segment.get(ValueLayout.JAVA_BYTE, end) != 0) {
            end++;
        }
        return new CString(segment.asSlice(offset, end + 1 - offset).toArray(ValueLayout.JAVA_BYTE));
    }

    /** This string with the bytes behind it, which hold no NUL. */
    CString append(byte[] bytes) {
        byte[] both = Arrays.copyOf(terminated, lengthBytes() + bytes.length);
        System.arraycopy(bytes, 0, both, lengthBytes(), bytes.length);
        return ofBytes(both);
    }

    /** What comes behind the beginning, which must be this string's. */
    byte[] after(CString beginning) {
        if (!Arrays.equals(terminated, 0, beginning.lengthBytes(), beginning.terminated, 0, beginning.lengthBytes())) {
            throw new IllegalArgumentException(this + " does not begin with " + beginning);
        }
        return Arrays.copyOfRange(terminated, beginning.lengthBytes(), lengthBytes());
    }

    MemorySegment in(Arena arena) {
        return arena.allocateFrom(ValueLayout.JAVA_BYTE, terminated);
    }

    /** Without the NUL. */
    int lengthBytes() {
        return terminated.length - 1;
    }

    boolean contains(char ascii) {
        for (byte each : terminated) {
            if (each == ascii) {
                return true;
            }
        }
        return false;
    }

    /** For people: bytes that are not UTF-8 are shown as U+FFFD. */
    String toText() {
        return new String(terminated, 0, lengthBytes(), StandardCharsets.UTF_8);
    }

    /** One character for each byte, so that nothing is lost. */
    String toCharactersOfOneByte() {
        return new String(terminated, 0, lengthBytes(), StandardCharsets.ISO_8859_1);
    }

    boolean isSelfOrParent() {
        return equals(SELF) || equals(PARENT);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof CString string && Arrays.equals(terminated, string.terminated);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(terminated);
    }

    /** In double quotes; a name that is not UTF-8, or would break a line, as hexadecimal bytes. */
    @Override
    public String toString() {
        try {
            ByteBuffer bytes = ByteBuffer.wrap(terminated, 0, lengthBytes());
            String text = StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
            return text.chars().anyMatch(Character::isISOControl) ? hexadecimal() : '"' + text + '"';
        } catch (CharacterCodingException notUtf8) {
            return hexadecimal();
        }
    }

    private String hexadecimal() {
        return "0x" + HexFormat.of().formatHex(terminated, 0, lengthBytes());
    }
}
