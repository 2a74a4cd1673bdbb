package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.cli.SocketClient.UnreachableException;
import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.ListenAddress;
import io.github.volatilesnapshotter.grpc.UnixSocketServer;
import io.github.volatilesnapshotter.linux.DirectoryTree;
import io.github.volatilesnapshotter.linux.Entries;
import io.github.volatilesnapshotter.linux.Errno;
import io.github.volatilesnapshotter.linux.Fd;
import io.github.volatilesnapshotter.linux.FsopenOverlayMounter;
import io.github.volatilesnapshotter.linux.KernelRelease;
import io.github.volatilesnapshotter.linux.MountInfo;
import io.github.volatilesnapshotter.linux.MountSyscallOverlayMounter;
import io.github.volatilesnapshotter.linux.Mounting;
import io.github.volatilesnapshotter.linux.OverlayLayers;
import io.github.volatilesnapshotter.linux.OverlayMounter;
import io.github.volatilesnapshotter.linux.Sync;
import io.github.volatilesnapshotter.linux.SyscallException;
import io.github.volatilesnapshotter.metrics.MetricsEndpoint;
import io.github.volatilesnapshotter.proto.health.v1.HealthCheckResponse.ServingStatus;
import io.github.volatilesnapshotter.snapshot.LayerSyncCheck;
import io.github.volatilesnapshotter.snapshot.StartChecks;
import io.github.volatilesnapshotter.snapshot.StoppedRoot;
import io.github.volatilesnapshotter.superblock.BlockDevices;
import io.github.volatilesnapshotter.superblock.ErrorTrace;
import io.github.volatilesnapshotter.superblock.VolatileOverlay;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Tries what {@code serve} needs, whatever came of the things before, and prints a line for each: OK and what was found, or FAIL with
 * what to do. What it makes for that it takes away again; a daemon that serves is not disturbed.
 */
final class Doctor {
    /** Returns what was found; what it throws says what is wrong and what to do. */
    @FunctionalInterface
    private interface Check {
        String run() throws Exception;
    }

    /** What is wrong, and what to do about it. */
    private static final class Finding extends Exception {
        private static final long serialVersionUID = 1;

        Finding(String message) {
            super(message);
        }
    }

    /** Below the directories that are tried. One name: the next doctor takes away what one that was killed has left. */
    private static final String SCRATCH = ".doctor";

    private static final String TRACE = "containerd-volatile-grpc-doctor";

    private static final Set<String> TESTED = Set.of("ext4", "xfs", "btrfs");
    private static final String TESTED_TEXT = "ext4, xfs or btrfs";

    private static final long CALL_SECONDS = 5;
    private static final int CALL_MILLIS = (int) TimeUnit.SECONDS.toMillis(CALL_SECONDS);
    private static final String LINE = "%-5s %-16s %s%n";

    private final Config config;
    private final Consumer<String> report;

    /** @param report gets each line once it is known */
    Doctor(Config config, Consumer<String> report) {
        this.config = config;
        this.report = report;
    }

    /** Gives the exit code: {@link ExitCode#FAILED} if anything failed. */
    int examine() {
        boolean isWell = true;
        isWell &= isWell("root", this::root);
        isWell &= isWell("records", this::records);
        isWell &= isWell("volatile mount", this::volatileMount);
        isWell &= isWell("layer sync", this::layerSync);
        isWell &= isWell("error trace", this::errorTrace);
        isWell &= isWell("state directory", () -> writable(config.state(), "--state"));
        isWell &= isWell("socket", this::socket);
        isWell &= isWell("metrics", this::metrics);
        isWell &= isWell("containerd", this::containerd);
        return isWell ? ExitCode.OK : ExitCode.FAILED;
    }

    @SuppressWarnings("CatchingUnchecked") // the other checks are still made
    private boolean isWell(String what, Check check) {
        try {
            report.accept(LINE.formatted("OK", what, check.run()));
            return true;
        } catch (Exception e) {
            report.accept(LINE.formatted("FAIL", what, Console.message(e).replace('\n', ' ')));
            return false;
        }
    }

    private String root() throws Exception {
        try (BorrowedDirectory root = BorrowedDirectory.of(config.root(), 0711)) {
            StartChecks.check(root.path());
            String fileSystem = mountOf(root).fsType();
            return root.path() + " lies on " + fileSystem + ", which can hold uppers"
                    + (TESTED.contains(fileSystem) ? "" : " but was never tested: better give one on " + TESTED_TEXT);
        } catch (SyscallException e) {
            throw new Finding(e.getMessage() + "; run as root, or give another directory with --root");
        }
    }

    private String records() throws Exception {
        StartChecks.checkMayBegin(config.root(), config.state());
        if (!StoppedRoot.isRoot(config.root())) {
            return "none yet below " + config.root();
        }
        Optional<StoppedRoot> found = StoppedRoot.openIfStopped(config.root());
        if (found.isEmpty()) {
            return "held by the daemon that serves " + config.root() + ", which verified them when it started";
        }
        try (StoppedRoot stopped = found.get()) {
            return stopped.verifyRecords(config.state()) + " records, undamaged";
        }
    }

    private String volatileMount() throws Exception {
        try (BorrowedDirectory root = BorrowedDirectory.of(config.root(), 0711)) {
            Path scratch = root.path().resolve(SCRATCH);
            Path merged = scratch.resolve("merged");
            remove(scratch, merged);
            try {
                Entries.mkdir(scratch, 0700);
                for (String name : List.of("lower", "upper", "work", "merged")) {
                    Entries.mkdir(scratch.resolve(name), 0700);
                }
                mount(
                        new OverlayLayers(
                                List.of(scratch.resolve("lower")), scratch.resolve("upper"), scratch.resolve("work")),
                        merged);
            } finally {
                remove(scratch, merged);
            }
            return "a volatile overlay can be mounted below " + root.path();
        } catch (SyscallException e) {
            throw new Finding(e.getMessage() + "; " + advice(e.errno()));
        }
    }

    private String layerSync() throws Exception {
        try (BorrowedDirectory root = BorrowedDirectory.of(config.root(), 0711)) {
            Path scratch = root.path().resolve(SCRATCH);
            DirectoryTree.delete(scratch);
            Entries.mkdir(scratch, 0700);
            try {
                return LayerSyncCheck.explain(
                        Daemon.layerSyncMode(config.layers().sync()), mountOf(root), scratch);
            } finally {
                DirectoryTree.delete(scratch);
            }
        } catch (SyscallException e) {
            throw new Finding(e.getMessage() + "; " + advice(e.errno()));
        }
    }

    /** Without it everything works, only later. */
    private String errorTrace() throws Exception {
        try (BorrowedDirectory root = BorrowedDirectory.of(config.root(), 0711)) {
            MountInfo mount = mountOf(root);
            ErrorTrace trace;
            try {
                trace = ErrorTrace.open(mount.device(), BlockDevices.of(mount), TRACE);
            } catch (SyscallException e) {
                return "none, so an error is found within watch.interval_millis only, and damaged files are not named: "
                        + e.getMessage();
            }
            trace.close();
            return "the kernel tells at once of an error on device " + mount.device();
        } catch (SyscallException e) {
            throw new Finding(e.getMessage() + "; run as root, or give another directory with --root");
        }
    }

    /** A root behind a symbolic link lies where that leads to. */
    private static MountInfo mountOf(BorrowedDirectory directory) throws IOException, SyscallException {
        return MountInfo.containing(directory.path().toRealPath());
    }

    private static void mount(OverlayLayers layers, Path merged) throws SyscallException {
        switch (OverlayMounter.forKernel(KernelRelease.current())) {
            case FsopenOverlayMounter fsopen -> {
                try (Fd root = fsopen.openDetached(layers)) {
                    Sync.fsync(root);
                }
            }
            case MountSyscallOverlayMounter syscall -> {
                syscall.mount(layers, true, merged);
                Mounting.detach(merged);
            }
        }
    }

    private static void remove(Path scratch, Path merged) throws SyscallException {
        if (Entries.exists(merged)) {
            VolatileOverlay.detach(merged);
        }
        DirectoryTree.delete(scratch);
    }

    private static String advice(Errno errno) {
        if (errno.is(Errno.EIO)) {
            return "a write to this disk has failed and nobody has asked for the error: see the kernel's log (dmesg) for the disk;"
                    + " the error is seen after sync -f on the root";
        } else if (errno.isNoRoom()) {
            return "the filesystem is full: remove something from it";
        } else if (errno.is(Errno.EPERM) || errno.is(Errno.EACCES)) {
            return "run as root, with CAP_SYS_ADMIN";
        } else if (errno.is(Errno.EROFS)) {
            return "the filesystem is read-only: if it has made itself so (dmesg), unmount it, check it and mount it again";
        }
        return "give a root on " + TESTED_TEXT + "; the kernel's log (dmesg) may say more";
    }

    private static String writable(Path path, String flag) throws Exception {
        try (BorrowedDirectory directory = BorrowedDirectory.of(path, 0700)) {
            Path scratch = directory.path().resolve(SCRATCH);
            DirectoryTree.delete(scratch);
            Entries.mkdir(scratch, 0700);
            Entries.rmdir(scratch);
            return directory.path() + " can be written to";
        } catch (SyscallException e) {
            throw new Finding(e.getMessage() + "; run as root, or give another directory with " + flag);
        }
    }

    private String socket() throws Exception {
        Path socket = config.socket();
        UnixSocketServer.checkAddress(socket);
        String found = "nobody listens on " + socket + " yet";
        if (Files.exists(socket, LinkOption.NOFOLLOW_LINKS)) {
            if (!Files.readAttributes(socket, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
                    .isOther()) {
                throw new Finding(socket + " is no socket; remove it, or give another --address");
            }
            found = listener(socket);
        }
        Path directory = socket.getParent();
        if (directory != null) {
            writable(directory, "--address");
        }
        return found;
    }

    private static String listener(Path socket) throws Finding {
        try {
            return "a daemon listens on " + socket + ", and is " + answer(socket);
        } catch (UnreachableException e) {
            return "nobody listens on " + socket + " any more, serve replaces it";
        } catch (StatusRuntimeException e) {
            throw new Finding(
                    "whoever listens on " + socket + " does not answer as a daemon that serves: " + e.getMessage()
                            + "; see its log, its filesystem may be failed or hung; or give another --address");
        }
    }

    private String metrics() throws Exception {
        if (config.metrics().address().isEmpty()) {
            return "no --metrics-address: none are served";
        }
        ListenAddress address = config.metrics().address().get();
        InetSocketAddress resolved = address.resolve();
        try (ServerSocket socket = new ServerSocket()) {
            socket.bind(resolved);
            return "can be served at " + address;
        } catch (IOException e) {
            if (MetricsEndpoint.isServedAt(resolved, CALL_MILLIS)) {
                return "a daemon serves them at " + address;
            }
            throw new Finding(
                    "can't listen on " + address + ": " + e.getMessage() + "; give another --metrics-address");
        }
    }

    private String containerd() throws Finding {
        Optional<Path> address = config.containerd().address();
        if (address.isEmpty()) {
            return "no --containerd-address: no container is killed, only its snapshot poisoned";
        }
        try {
            return "containerd on " + address.get() + " is " + answer(address.get());
        } catch (UnreachableException | StatusRuntimeException e) {
            throw new Finding(e.getMessage() + "; start containerd, or correct --containerd-address " + address.get());
        }
    }

    /** What the health service says there, which containerd has, too; throws UNAVAILABLE if that is not {@code serving}. */
    private static String answer(Path socket) throws UnreachableException {
        try (SocketClient client = new SocketClient(socket, CALL_SECONDS)) {
            ServingStatus status = client.health();
            if (status != ServingStatus.SERVING) {
                throw Status.UNAVAILABLE.withDescription("health is " + status).asRuntimeException();
            }
            return "serving";
        }
    }
}
