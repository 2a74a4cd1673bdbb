package io.github.volatilesnapshotter.metadata;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** The metadata could not be read or written. The message names the file, what was being done to it, and why it failed. */
public final class MetadataException extends Exception {
    /** What went wrong, as far as it decides what to do next. */
    public enum Reason {
        /** No room for it; the same write may succeed once there is. */
        DISK_FULL,
        /** Other writers, or a program that holds the file locked, kept it waiting too long; may succeed later. */
        BUSY,
        /** The file is damaged, or not ours, or of a newer version: it is left as it is, for a human to look at. */
        UNUSABLE_FILE,
        /** Reading, writing or flushing failed. Later writes are refused until the file has been written anew from memory. */
        FAILED,
        /** Refused because an earlier write failed and the file has not been written anew yet, or because the store is closed. */
        REFUSED
    }

    private static final long serialVersionUID = 1;

    private final Reason reason;
    private final String detail;
    private final String resultCode;

    MetadataException(
            Reason reason, Path file, String operation, String detail, String resultCode, @Nullable Throwable cause) {
        super(file + ": " + operation + ": " + detail + (resultCode.isEmpty() ? "" : " (" + resultCode + ")"), cause);
        this.reason = reason;
        this.detail = detail;
        this.resultCode = resultCode;
    }

    public Reason reason() {
        return reason;
    }

    public boolean isDiskFull() {
        return reason == Reason.DISK_FULL;
    }

    /** Why it failed, without the file and what was being done to it. */
    String detail() {
        return detail;
    }

    /** SQLite's extended result code, for example {@code SQLITE_IOERR_FSYNC}; empty if SQLite was not the one to object. */
    public String resultCode() {
        return resultCode;
    }
}
