package io.github.volatilesnapshotter.cli;

import io.github.volatilesnapshotter.config.ConfigException;
import io.github.volatilesnapshotter.config.ConfigFile;
import java.io.IOException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

@Command(
        name = "config",
        description = "Shows and checks the configuration.",
        mixinStandardHelpOptions = true,
        subcommands = {ConfigCommand.Default.class, ConfigCommand.Check.class, ConfigCommand.Dump.class})
final class ConfigCommand {
    @Command(
            name = "default",
            description = "Prints the file that documents every key and its default.",
            mixinStandardHelpOptions = true)
    static final class Default implements Runnable {
        @Override
        public void run() {
            Console.print(ConfigFile.documentedDefaults());
        }
    }

    @Command(
            name = "check",
            description = "Says what is wrong with the configuration, if anything.",
            mixinStandardHelpOptions = true)
    static final class Check implements Callable<Integer> {
        @Mixin
        private final ConfigOptions options = new ConfigOptions();

        @Override
        public Integer call() {
            try {
                options.load();
            } catch (ConfigException | IOException e) {
                return Console.fail(e);
            }
            Console.print("ok\n");
            return ExitCode.OK;
        }
    }

    @Command(
            name = "dump",
            description = "Prints the configuration that serve would use with the same flags.",
            mixinStandardHelpOptions = true)
    static final class Dump implements Callable<Integer> {
        @Mixin
        private final ConfigOptions options = new ConfigOptions();

        @Override
        public Integer call() {
            try {
                Console.print(ConfigFile.write(options.load()));
            } catch (ConfigException | IOException e) {
                return Console.fail(e);
            }
            return ExitCode.OK;
        }
    }
}
