package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.ConfigFile;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.List;

/** The daemon's command line. */
public final class ContainerdVolatileGrpc {
    private static final Flag UNMOUNT_ON_STOP = new Flag(
            "--unmount-on-stop",
            null,
            "Detach every overlay when stopping, for tests:\nrunning containers lose their root.");

    private ContainerdVolatileGrpc() {}

    public static void main(String[] arguments) {
        int exitCode = program().run(arguments);
        StandardErrorLog.flush();
        System.exit(exitCode);
    }

    static Program program() {
        List<Flag> serveFlags = new ArrayList<>(ConfigFlags.ALL);
        serveFlags.add(UNMOUNT_ON_STOP);
        return new Program(
                "containerd-volatile-grpc",
                "A containerd snapshotter that makes volatile overlayfs safe.",
                List.of(
                        new Command(
                                "serve",
                                List.of(),
                                serveFlags,
                                "Serve containerd's Snapshots API until SIGTERM.\nStopping leaves every mount in place.",
                                (flags, _) -> serve(flags)),
                        new Command(
                                "config default",
                                List.of(),
                                List.of(),
                                "Print the file that documents every key\nand its default.",
                                (_, _) -> printDefaults()),
                        new Command(
                                "config check",
                                List.of(),
                                ConfigFlags.ALL,
                                "Say what is wrong with the configuration,\nif anything.",
                                (flags, _) -> checkConfig(flags)),
                        new Command(
                                "config dump",
                                List.of(),
                                ConfigFlags.ALL,
                                "Print the configuration that serve would use\nwith the same flags.",
                                (flags, _) -> dumpConfig(flags)),
                        new Command(
                                "doctor",
                                List.of(),
                                ConfigFlags.ALL,
                                "Try what serve needs with the same flags, and say\nwhat to do about what fails. Leaves nothing behind.",
                                (flags, _) -> new Doctor(ConfigFlags.load(flags), Console::print).examine())),
                Console::fail);
    }

    private static int printDefaults() {
        Console.print(ConfigFile.documentedDefaults());
        return ExitCode.OK;
    }

    private static int checkConfig(Arguments flags) throws Exception {
        Config config = ConfigFlags.load(flags);
        Console.print("ok\n");
        if (config.layers().sync() == Config.Layers.Sync.TARGETED) {
            Console.print(
                    "note: layers.sync = \"targeted\": serve refuses to start where the root's filesystem can't do it; "
                            + "doctor says whether it can\n");
        }
        return ExitCode.OK;
    }

    private static int dumpConfig(Arguments flags) throws Exception {
        Console.print(ConfigFile.write(ConfigFlags.load(flags)));
        return ExitCode.OK;
    }

    private static int serve(Arguments flags) throws Exception {
        Config config = ConfigFlags.load(flags);
        StandardErrorLog.install(config.log().level());
        Daemon daemon = new Daemon(config, flags.has(UNMOUNT_ON_STOP));
        Thread stop = new Thread(() -> stopAndHalt(daemon), "stop");
        // Before the start: a SIGTERM meanwhile must stop what has started.
        Runtime.getRuntime().addShutdownHook(stop);
        try {
            daemon.start();
        } catch (Exception failure) {
            withdraw(stop);
            throw failure;
        }
        daemon.awaitStop();
        return ExitCode.OK;
    }

    /** The start failed, and its exit code is not the stop's; unless a SIGTERM came, too. */
    private static void withdraw(Thread stop) {
        try {
            Runtime.getRuntime().removeShutdownHook(stop);
        } catch (IllegalStateException e) {
            System.getLogger(ContainerdVolatileGrpc.class.getName())
                    .log(Level.DEBUG, "the process ends already", "failure", e);
        }
    }

    /** Without the halt a SIGTERM ends in 143, which looks like a failure to systemd and to scripts. */
    @SuppressWarnings("CatchingUnchecked") // the process must end
    private static void stopAndHalt(Daemon daemon) {
        Logger log = System.getLogger(ContainerdVolatileGrpc.class.getName());
        int exitCode = ExitCode.OK;
        try {
            daemon.stop();
            log.log(Level.INFO, "stopped");
        } catch (Exception e) {
            log.log(Level.ERROR, "stopped, but not cleanly", "failure", e);
            exitCode = ExitCode.FAILED;
        }
        StandardErrorLog.flush();
        Runtime.getRuntime().halt(exitCode);
    }
}
