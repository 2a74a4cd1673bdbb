package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.ConfigException;
import java.io.IOException;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

@Command(
        name = "serve",
        description = "Serves containerd's Snapshots API until SIGTERM. Stopping leaves every mount in place.",
        mixinStandardHelpOptions = true)
final class ServeCommand implements Callable<Integer> {
    @Mixin
    private final ConfigOptions options = new ConfigOptions();

    @Option(
            names = "--unmount-on-stop",
            description = "Detach every overlay when stopping, for tests: running containers lose their root.")
    private boolean unmountOnStop;

    @Override
    public Integer call() throws InterruptedException {
        Config config;
        try {
            config = options.load();
        } catch (ConfigException | IOException e) {
            return Console.fail(e);
        }
        StandardErrorLog.install(config.log().level());
        return serve(new Daemon(config, unmountOnStop));
    }

    @SuppressWarnings("CatchingUnchecked") // whatever stops the start is told in one line
    private static int serve(Daemon daemon) throws InterruptedException {
        Logger log = System.getLogger(ServeCommand.class.getName());
        try {
            daemon.start();
        } catch (Exception e) {
            log.log(Level.DEBUG, "the start failed", "failure", e);
            return Console.fail(e);
        }
        Runtime.getRuntime().addShutdownHook(new Thread(() -> stopAndHalt(daemon, log), "stop"));
        daemon.awaitStop();
        return ExitCode.OK;
    }

    /** Without the halt a SIGTERM ends in 143, which looks like a failure to systemd and to scripts. */
    @SuppressWarnings("CatchingUnchecked") // the process must end
    private static void stopAndHalt(Daemon daemon, Logger log) {
        int exitCode = ExitCode.OK;
        try {
            daemon.stop();
            log.log(Level.INFO, "stopped");
        } catch (Exception e) {
            log.log(Level.ERROR, "stopped, but not cleanly", "failure", e);
            exitCode = ExitCode.FAILED;
        }
        Runtime.getRuntime().halt(exitCode);
    }
}
