package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.config.Config;
import io.github.volatilesnapshotter.config.ConfigException;
import io.github.volatilesnapshotter.snapshot.StartChecks;
import io.github.volatilesnapshotter.snapshot.StartException;
import java.io.IOException;
import java.nio.file.Files;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

@Command(
        name = "doctor",
        description =
                "Checks whether the snapshotter can serve on this machine with this root, and says what to do if not."
                        + " Serves nothing; makes the root directory if it is missing.",
        mixinStandardHelpOptions = true)
final class DoctorCommand implements Callable<Integer> {
    @Mixin
    private final ConfigOptions options = new ConfigOptions();

    @Override
    public Integer call() {
        try {
            Config config = options.load();
            Files.createDirectories(config.root());
            StartChecks.check(config.root());
            Console.print("ok: root " + config.root() + " can serve\n");
            return ExitCode.OK;
        } catch (ConfigException | StartException | IOException e) {
            return Console.fail(e);
        }
    }
}
