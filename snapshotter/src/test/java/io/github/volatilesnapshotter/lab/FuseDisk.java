package io.github.volatilesnapshotter.lab;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * A disk whose requests fail, are slow or hang as a test says.
 *
 * <p>It is a loop device over the one file of a FUSE file system, which a process of its own keeps in memory. The loop device
 * reads and writes that file directly: with the page cache in between, a read would not reach the disk again. Each request
 * of the file system on it is one request here, which fails as a whole.
 *
 * <p>While requests hang, whatever waits for the disk can't be killed; {@link #heal} and {@link #close} release it. The thread
 * that heals must not touch the disk before: even a name has to be read from it.
 */
public final class FuseDisk extends Disk {
    /** For what a write cache may lose, in bytes: beyond that the oldest write has reached the medium. */
    private static final long CACHE_BYTES = 128L << 20;

    /** What is dirty is written back by whoever lets go last, at the speed of a busy machine. */
    private static final Duration UNMOUNT_BOUND = Duration.ofSeconds(60);

    private final FuseDiskDirectory directory;
    private final long cacheBytes;
    private final Thread shutdownHook;
    private FuseDiskControl control;
    private LoopDevice loop;

    /** Which blocks fail. Data begin each sector with {@link Disk#dataMarker}. */
    public enum Blocks {
        /** Every block, and flushes as well. */
        ALL,
        /** Those of data: files of a page and more, as btrfs keeps smaller ones among its metadata. */
        DATA,
        /** The others: journal, log, inodes, trees, directories, and data without the marker. */
        METADATA
    }

    private FuseDisk(FuseDiskDirectory directory, FileSystem fileSystem, long cacheBytes) {
        super(fileSystem);
        this.directory = directory;
        this.cacheBytes = cacheBytes;
        this.shutdownHook = new Thread(this::destroyAtShutdown, "remove " + directory.path());
        Runtime.getRuntime().addShutdownHook(shutdownHook);
    }

    /** Makes a disk of 1 GiB, which takes memory only for what is written to it, and mounts its new file system. */
    public static FuseDisk create(FileSystem fileSystem) throws IOException {
        return create(fileSystem, 0);
    }

    /** The same with a write cache, which a power cut empties: see {@link #writeImage}. */
    public static FuseDisk createWithWriteCache(FileSystem fileSystem) throws IOException {
        return create(fileSystem, CACHE_BYTES);
    }

    private static FuseDisk create(FileSystem fileSystem, long cacheBytes) throws IOException {
        Path path = Files.createTempDirectory("fuse-disk-").toRealPath();
        FuseDisk disk = new FuseDisk(new FuseDiskDirectory(path), fileSystem, cacheBytes);
        try {
            disk.make();
            return disk;
        } catch (IOException | RuntimeException e) {
            try {
                disk.close();
            } catch (IOException closing) {
                e.addSuppressed(closing);
            }
            throw e;
        }
    }

    private void make() throws IOException {
        directory.create();
        control = FuseDiskControl.start(directory, BYTES, cacheBytes);
        loop = LoopDevice.attach(directory.image());
        Command.run(mkfs().toArray(String[]::new));
        mount();
        loop.letGo();
    }

    private List<String> mkfs() {
        // ext4 otherwise fills inode tables and the journal later, from a kernel thread: a disk that fails in between
        // would be another one each time.
        String ext4Options = "nodiscard,lazy_itable_init=0,lazy_journal_init=0";
        String device = loop.path().toString();
        return switch (fileSystem()) {
            case EXT4 -> List.of("mkfs.ext4", "-q", "-F", "-E", ext4Options, device);
            case EXT4_WITHOUT_JOURNAL ->
                List.of("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", ext4Options, device);
            case XFS -> List.of("mkfs.xfs", "-q", "-f", "-K", device);
            case BTRFS -> List.of("mkfs.btrfs", "-q", "-f", "--nodiscard", device);
        };
    }

    private void mount() throws IOException {
        String type = fileSystem().kernelName();
        // ext4 otherwise reads all bitmaps in the one thread that it has for all its file systems: while this disk
        // hangs,
        // no other could be unmounted.
        String options = "nodiscard,noatime" + (type.equals("ext4") ? ",noinit_itable,no_prefetch_block_bitmaps" : "");
        Command.run("mount", "-t", type, "-o", options, loop.toString(), root().toString());
    }

    @Override
    public Path root() {
        return directory.root();
    }

    @Override
    public Path device() {
        return loop.path();
    }

    /** The process that serves the disk. */
    long pid() {
        return control.pid();
    }

    /** Makes writes to some blocks fail with EIO. What is dirty by now is among them. Reads and other blocks stay as they are. */
    public void fail(Blocks blocks) throws IOException {
        control.tell("fail writes " + blocks);
    }

    /** Makes reads of some blocks fail with EIO; only what no cache holds is read from the disk, see {@link #dropCaches}. */
    public void failReads(Blocks blocks) throws IOException {
        control.tell("fail reads " + blocks);
    }

    /** Makes each request take this time longer. */
    public void delay(Duration delay) throws IOException {
        control.tell("delay requests " + delay.toNanos());
    }

    /** Makes each write and each flush take this time longer, and reads not. */
    public void delayWrites(Duration delay) throws IOException {
        control.tell("delay writes " + delay.toNanos());
    }

    /** Makes every request wait until {@link #heal}, or 100 s at most. */
    public void hang() throws IOException {
        control.tell("hang requests");
    }

    /** Makes every write and every flush wait until {@link #heal}, or 100 s at most, and reads not. */
    public void hangWrites() throws IOException {
        control.tell("hang writes");
    }

    /**
     * Writes to a new sparse file what a power cut at one moment during this call might leave: each write since the last flush
     * is there or not, or some of its sectors of 512 bytes are. The disk goes on. See {@link DiskImage}.
     *
     * @param seed decides which writes are there
     */
    public void writeImage(Path file, long seed) throws IOException {
        if (cacheBytes == 0) {
            throw new IllegalStateException("a disk without a write cache loses nothing");
        }
        control.tell("image " + seed + " " + file);
    }

    /** Makes writes of data fail with EIO, and stores before what is dirty. */
    @Override
    public void startFailing() throws IOException {
        quiesce();
        fail(Blocks.DATA);
    }

    /**
     * Makes reads of metadata fail with EIO, and has the kernel forget all that it need not keep. A block of metadata that is still to be
     * written from a log to its place is kept, so the log is emptied before.
     */
    public void startFailingReadsOfMetadata() throws IOException {
        quiesce();
        failReads(Blocks.METADATA);
        // What the first one lets go of, among the inodes, has held blocks.
        dropCaches();
        dropCaches();
    }

    /** Unlike syncfs this does not mark an error of the superblock as seen, and empties logs. */
    private void quiesce() throws IOException {
        Command.run("fsfreeze", "--freeze", root().toString());
        Command.run("fsfreeze", "--unfreeze", root().toString());
    }

    @Override
    public void heal() throws IOException {
        control.tell("heal");
    }

    @Override
    public void remount() throws IOException {
        loop.hold();
        try {
            Retry.untilItWorks(() -> Command.run("umount", root().toString()));
            mount();
        } finally {
            loop.letGo();
        }
    }

    @Override
    public void close() throws IOException {
        try {
            destroy();
        } finally {
            Runtime.getRuntime().removeShutdownHook(shutdownHook);
        }
    }

    /** Takes away what is there, each part after those that need it, and whatever fails. */
    private void destroy() throws IOException {
        try (Step _ = directory::detachAll;
                Step _ = this::endProcess;
                Step _ = this::unmount;
                Step _ = this::restoreDevice) {
            if (control != null) {
                // What hangs would hang the rest.
                heal();
            }
        }
    }

    private interface Step extends AutoCloseable {
        @Override
        void close() throws IOException;
    }

    private void restoreDevice() throws IOException {
        if (loop != null) {
            loop.restoreQueue();
            loop.letGo();
        }
    }

    private void unmount() throws IOException {
        try {
            Retry.untilItWorks(this::unmountIdle, UNMOUNT_BOUND);
        } catch (IOException e) {
            IOException told = new IOException(e.getMessage() + "; held by " + holders(), e);
            directory.mountsOnDisk().detach();
            throw told;
        }
    }

    private List<String> holders() throws IOException {
        return loop == null ? List.of() : directory.mountsOnDisk().holders(loop.path());
    }

    /** A process that was killed a moment ago may still be letting go of a file. */
    private Void unmountIdle() throws IOException {
        directory.mountsOnDisk().unmountIdle();
        List<String> busy = directory.mountsOnDisk().mountPoints();
        if (!busy.isEmpty() || (loop != null && loop.isAttached())) {
            throw new IOException(loop + " was busy, and goes when nobody uses it any more: " + busy);
        }
        return null;
    }

    private void endProcess() throws IOException {
        if (control != null) {
            FuseDiskControl ending = control;
            control = null;
            ending.close();
        }
    }

    private void destroyAtShutdown() {
        try {
            destroy();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
