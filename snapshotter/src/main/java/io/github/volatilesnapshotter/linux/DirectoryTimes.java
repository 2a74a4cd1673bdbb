package io.github.volatilesnapshotter.linux;

import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * When directories were modified, noted in a file before something in them is changed that shall not show: so the times can be restored
 * also by whoever comes after a process that was killed. The file has what a kill leaves; after a power cut it may be gone.
 */
final class DirectoryTimes implements AutoCloseable {
    /** Seconds, nanoseconds, length of the path. */
    private static final int HEADER_BYTES = Long.BYTES + 2 * Integer.BYTES;

    private final Path file;
    private final CString root;
    private final Map<CString, Stat.Time> times = new LinkedHashMap<>();
    /** Once something is noted. */
    private @Nullable Fd note;

    private DirectoryTimes(Path file, CString root) {
        this.file = file;
        this.root = root;
    }

    /**
     * With what an earlier process has noted and not restored.
     *
     * @param root absolute path of a directory above all of them, as it is now
     */
    static DirectoryTimes notedIn(Path file, CString root) throws SyscallException {
        DirectoryTimes times = new DirectoryTimes(file, root);
        times.read();
        return times;
    }

    private void read() throws SyscallException {
        try (Fd left = Fd.openReadOnly(file)) {
            ByteBuffer noted = ByteBuffer.wrap(SystemCalls.readAll(left));
            // The last one may be there in part: then nothing was changed in its directory.
            while (noted.remaining() >= HEADER_BYTES) {
                Stat.Time time = new Stat.Time(noted.getLong(), noted.getInt());
                int length = noted.getInt();
                if (length < 0 || length > noted.remaining()) {
                    break;
                }
                byte[] below = new byte[length];
                noted.get(below);
                times.put(root.append(below), time);
            }
        } catch (SyscallException e) {
            if (!e.errno().is(Errno.ENOENT)) {
                throw e;
            }
        }
    }

    /** Notes the time of one, once; to be called before anything in it is changed. */
    void note(CString path, Fd directory) throws SyscallException {
        if (times.containsKey(path)) {
            return;
        }
        Stat.Time time = Stat.of(directory).modified();
        if (note == null) {
            note = Fd.openEmptied(file);
        }
        byte[] below = path.after(root);
        note.write(ByteBuffer.allocate(HEADER_BYTES + below.length)
                .putLong(time.seconds())
                .putInt(time.nanos())
                .putInt(below.length)
                .put(below)
                .array());
        times.put(path, time);
    }

    /** Sets those that were noted, forgets them, and deletes the file. A directory that is gone has no time. */
    void restore() throws SyscallException {
        for (Map.Entry<CString, Stat.Time> each : times.entrySet()) {
            try {
                SystemCalls.setModified(each.getKey(), each.getValue());
            } catch (SyscallException e) {
                if (!e.errno().is(Errno.ENOENT) && !e.errno().is(Errno.ENOTDIR)) {
                    throw e;
                }
            }
        }
        if (!times.isEmpty()) {
            close();
            Entries.unlink(file);
            times.clear();
        }
    }

    @Override
    public void close() {
        if (note != null) {
            note.close();
            note = null;
        }
    }
}
