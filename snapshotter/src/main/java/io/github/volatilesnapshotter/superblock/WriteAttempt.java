package io.github.volatilesnapshotter.superblock;

import static java.lang.System.Logger.Level.DEBUG;

import io.github.volatilesnapshotter.linux.DirectRead;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.Stat;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.linux.Xattr;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Random;
import java.util.function.Supplier;

/**
 * What the write probe does on a real filesystem: an extended attribute of a file of ours gets another value. Of all calls that change
 * something this is the one that a filesystem refuses at once after it has aborted its journal, was shut down or turned read-only;
 * fsync, chmod and utimens succeed once more (measured on 6.18). About 3 us; it leads to one journal commit some seconds later.
 *
 * <p>It asks the filesystem and not the disk: five seconds into a hang it still succeeded on ext4, xfs and btrfs. So a block of the file
 * is read past the cache before. That it can't be read is no failure of writing; and a write in its place could itself be the writeback
 * error that poisons everything.
 *
 * <p>If it fails, the superblock's own options say why, where they can. Only what proves that the filesystem has stopped writing makes it
 * gone, which condemns all that was being written on it: an error that may pass makes it failed. One thread at a time.
 */
final class WriteAttempt implements WriteProbe.Attempt {
    private static final System.Logger LOG = System.getLogger(WriteAttempt.class.getName());

    private static final String ATTRIBUTE = "trusted.volatile-snapshotter.probe";

    private final Path directory;
    private final Path file;
    private final Supplier<OptionalLong> fileSystemErrors;
    private final long errorsAtStart;
    private final FreeSpace free;
    private long attempts;
    private Optional<Fd> opened = Optional.empty();

    /**
     * @param directory in which the file {@code write-probe} is made, if it is missing; nothing else writes to it
     * @param fileSystemErrors the filesystem's own count of errors in its metadata; empty where it has none
     * @param free looked at when the filesystem has answered
     */
    WriteAttempt(Path directory, Supplier<OptionalLong> fileSystemErrors, FreeSpace free) {
        this.directory = directory;
        this.file = directory.resolve("write-probe");
        this.fileSystemErrors = fileSystemErrors;
        this.errorsAtStart = fileSystemErrors.get().orElse(0);
        this.free = free;
    }

    @Override
    public ProbeAnswer run() {
        ProbeAnswer answer = ask();
        free.look();
        return answer;
    }

    private ProbeAnswer ask() {
        try {
            if (opened.isEmpty()) {
                opened = Optional.of(Fd.openReadWrite(file));
            }
            askDisk(opened.get());
            attempts++;
            // The same value again would be no change: ext4 compares.
            byte[] value = ByteBuffer.allocate(Long.BYTES).putLong(attempts).array();
            Xattr.set(opened.get(), ATTRIBUTE, value);
            return new ProbeAnswer.Takes();
        } catch (SyscallException e) {
            return judge(e);
        }
    }

    /** Returns when the disk has answered, whatever it said. */
    private void askDisk(Fd opened) {
        try {
            if (DirectRead.ofFirstBlock(file) < DirectRead.BLOCK_BYTES) {
                // Once in the life of the pool. Random bytes: no filesystem stores them as a hole or inside the inode.
                byte[] block = new byte[DirectRead.BLOCK_BYTES];
                new Random().nextBytes(block);
                opened.write(block);
                Sync.fsync(opened);
            }
        } catch (SyscallException e) {
            LOG.log(DEBUG, "the disk can't be asked directly", "file", file, "failure", e);
        }
    }

    private ProbeAnswer judge(SyscallException refused) {
        Errno errno = refused.errno();
        if (errno.isNoRoom()) {
            // Full is not broken.
            return new ProbeAnswer.Takes();
        }
        if (errno.isShortage()) {
            return new ProbeAnswer.Unasked(refused.toString());
        }
        List<String> options = options();
        if (options.contains("shutdown")) {
            return gone("the filesystem is shut down", errno);
        }
        if (options.contains("emergency_ro")) {
            return gone("the filesystem has turned itself read-only (emergency_ro)", errno);
        }
        if (errno.is(Errno.EROFS)) {
            // While our file is open for writing the kernel refuses an operator's remount (EBUSY): then btrfs, or ext4
            // before Linux 6.15, has done it itself. ext4's count knows it too.
            boolean isItsOwnDoing = opened.isPresent() || fileSystemErrors.get().orElse(0) > errorsAtStart;
            return isItsOwnDoing
                    ? gone("the filesystem has turned itself read-only", errno)
                    : refused("the filesystem is read-only", errno);
        }
        return isShutDownUntold()
                ? gone("the filesystem is shut down", errno)
                : refused("the write probe is refused", errno);
    }

    /**
     * Whether the filesystem was shut down, where no option tells. One block of metadata that can't be read, now or for ever, is answered EIO
     * too, and nothing is lost by it. But what needs nothing from the disk fails only after a shutdown: the attributes of an open file on
     * xfs (xfs_vn_getattr), and the fsync of one on ext4 before Linux 6.15, where no option tells (ext4_sync_file asks for a shutdown
     * first). Later it is not asked: without a journal it reads the block of the inode, and may fail like the probe.
     */
    private boolean isShutDownUntold() {
        if (opened.isEmpty()) {
            return false;
        }
        try {
            Stat _ = Stat.of(opened.get());
            boolean isExt4 = fileSystemErrors.get().isPresent();
            if (isExt4 && !KernelRelease.current().atLeast(6, 15)) {
                Sync.fsync(opened.get());
            }
            return false;
        } catch (SyscallException e) {
            return true;
        }
    }

    private static ProbeAnswer gone(String reason, Errno errno) {
        return new ProbeAnswer.Refused(new Failure(reason + " (" + errno.name() + ")", errno, true));
    }

    private static ProbeAnswer refused(String reason, Errno errno) {
        return new ProbeAnswer.Refused(new Failure(reason + " (" + errno.name() + ")", errno, false));
    }

    /** Of the superblock; none where even asking fails, as on xfs that was shut down. */
    private List<String> options() {
        try {
            return opened.isPresent() ? MountInfo.superOptionsOf(opened.get()) : MountInfo.superOptionsOf(directory);
        } catch (SyscallException e) {
            return List.of();
        }
    }

    @Override
    public void end() {
        opened.ifPresent(Fd::close);
        opened = Optional.empty();
    }
}
